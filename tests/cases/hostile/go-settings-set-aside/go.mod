module handler

go 1.26

toolchain go1.99.1
