package

a
