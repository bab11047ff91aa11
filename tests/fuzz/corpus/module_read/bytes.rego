package a["ÿâ€¨"]
