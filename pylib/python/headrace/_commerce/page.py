"""What Streamlit runs for every visitor and every change: the page itself is in `app`, which is loaded once."""

from headrace._commerce.app import main

main()
