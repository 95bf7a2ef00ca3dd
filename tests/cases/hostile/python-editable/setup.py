import pathlib
pathlib.Path("/tmp/ignite-evil").touch()
