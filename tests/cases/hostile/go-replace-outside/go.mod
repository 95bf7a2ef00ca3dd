module handler

go 1.26

require example.com/neighbour v0.0.0

replace example.com/neighbour => ../neighbour
