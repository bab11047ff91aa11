package a[ "b" ]["c"
]
