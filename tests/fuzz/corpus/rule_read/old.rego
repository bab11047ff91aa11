0package a
import future.keywords.every
p[x] { x = 1 } { y }
contains(x) = y { x[_] == y } else = 2 { true }
q.r { 1 }