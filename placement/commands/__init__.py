"""The commands of the command line, one module each; every module has a function `register(app)`."""
