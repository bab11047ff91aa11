package a1.b_2.__c
