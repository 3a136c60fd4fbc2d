"""Events for the demo and the tests: a made-up organisation of any size, or the real members of Congress."""
