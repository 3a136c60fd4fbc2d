"""Input for the demo and the tests: real members of Congress, or a made-up organisation of any size."""
