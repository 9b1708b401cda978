"""The ICE lab: how long two phones take until they hear each other, with which relay between them.

Real phones (aioice, headless Chromium) behind real NATs (nftables in network
namespaces), with the delays of a network between them, call each other with
one relay after the other in the same run. docs/ice-lab.md says how to read it.

    caller --- gateway --+                  +-- gateway --- callee
               (NAT)     |                  |   (NAT)
                         +-- wire: delays --+
                         |                  |
                   relays (ng)        STUN and TURN
"""
