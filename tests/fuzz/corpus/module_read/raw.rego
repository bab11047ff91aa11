package a[`x
y`]["z"]
