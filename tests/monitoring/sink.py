"""A mail server that takes every mail and prints its recipient and Message-ID. In a container: so Python alone."""

import os
import socketserver


class Conversation(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        self.wfile.write(b"220 sink.test\r\n")
        recipient = ""
        while line := self.rfile.readline():
            match line.split(maxsplit=1)[0].upper():
                case b"EHLO":
                    self.wfile.write(b"250 sink.test\r\n")
                case b"RCPT":
                    recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                    self.wfile.write(b"250 2.1.5 yes\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    name = ""
                    while (said := self.rfile.readline()) not in (b".\r\n", b""):
                        if said.lower().startswith(b"message-id:"):
                            name = said.partition(b":")[2].strip().decode()
                    os.write(1, f"mail to {recipient} {name}\n".encode())  # in one piece, whatever other threads say
                    self.wfile.write(b"250 2.0.0 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 2.0.0 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 2.0.0 yes\r\n")


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


if __name__ == "__main__":
    Server(("", 2525), Conversation).serve_forever()
