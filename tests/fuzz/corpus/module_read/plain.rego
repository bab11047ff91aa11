package a.b

allow := true
