package["a"]
