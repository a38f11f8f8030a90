"""The languages that the server speaks: each turns a body into a call, and predictions into an answer."""
