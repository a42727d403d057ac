"""The local web app: pages in a browser of this machine; nothing leaves it."""
