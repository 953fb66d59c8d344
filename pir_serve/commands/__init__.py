"""The subcommands of `pir` that every installation has: a module each, thin over the library."""
