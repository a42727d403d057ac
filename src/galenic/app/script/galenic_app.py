"""What Streamlit runs anew after every click."""

from galenic.app.main import main

main()
