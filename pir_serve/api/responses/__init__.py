"""The Responses API over HTTP and WebSocket: the same turns as Chat Completions in other shapes, kept by their ids.

A pause is a completed response whose last item is the question, as a message or as a call of the client's question tool.
"""
