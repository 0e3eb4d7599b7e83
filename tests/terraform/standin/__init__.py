"""A stand-in for the google and time providers.

Owns: serving the published google schema to terraform, and an imaginary project that enforces the API's rules.
Must not know: the modules under test. May use: the generated bindings' schema, gRPC, nothing outside this machine.
"""
