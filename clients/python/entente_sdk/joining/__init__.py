"""An agency joins a network: what is made on its own machine, what it sends, and what it gets back.

A folder holds all of it, and says by what it holds how far the agency has come: there is no other state, so that the
work can stop anywhere and go on later.

    answers.json         what was asked
    key.pem              the agency's key; it never leaves the machine (mode 0600)
    join-request.json    what the network's registrars get: answers and certificate request
    certificate.pem      what the network's authority issued for the request
    root.pem             the authority that the broker's certificate comes from
"""
