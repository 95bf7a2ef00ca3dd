module hello

go 1.26

require example.com/x
