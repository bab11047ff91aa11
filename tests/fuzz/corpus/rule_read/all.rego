1package a
import data.x as y
default p := 1
p := $"a {x} {{"b": "c"}} \{" if { a; not b; [c] } else := `r
` if every k, v in x { k == v }
q["r-s"][t].u contains -1 if x with input.a as 1
if.x := 1