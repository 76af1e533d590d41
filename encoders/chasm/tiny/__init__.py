"""The study of CHASMBrain at the size of the embedded benchmark; docs/chasm.md reports it."""
