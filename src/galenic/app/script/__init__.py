"""The folder of the script that Streamlit runs, alone in it: Streamlit puts that folder first on the import path."""
