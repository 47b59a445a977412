"""Protocols: what the services need from the outside, in the services' words."""
