"""The console and its API against real servers, the pages in a real browser."""
