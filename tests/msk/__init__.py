"""The login of an AWS role, against an imitation of MSK (`make test-msk`)."""
