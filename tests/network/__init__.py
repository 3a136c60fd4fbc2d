"""Tests in a network of their own (`make test-unplugged`)."""
