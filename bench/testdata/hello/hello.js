print("Content-Type: text/plain\n\nhello")
