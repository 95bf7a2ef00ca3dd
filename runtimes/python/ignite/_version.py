"""The version of this package, alone in a file so that the build and the worker read the same one."""

VERSION = "0.1.0"
