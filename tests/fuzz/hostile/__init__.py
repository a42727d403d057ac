"""Files that someone made to do harm, and the law that every reader keeps when it meets them."""
