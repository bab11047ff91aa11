package a..b
