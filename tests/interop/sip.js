// SIP over WebSocket (RFC 7118) for a page with one call at a time. `phone` is what chromium.js makes.
// The connection is reliable, so nothing is repeated but the ACK of a repeated 200.
const token = () => Math.random().toString(36).slice(2, 12);

class Message {
  constructor(start, headers = [], body = "") {
    Object.assign(this, {start, headers, body});
  }

  static parse(text) {
    const [head, body] = text.split("\r\n\r\n", 2);
    const [start, ...lines] = head.split("\r\n");
    const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
    return new Message(start, headers, body);
  }

  all(name) {
    return this.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  get(name) {
    return this.all(name)[0] ?? "";
  }

  get status() {
    return this.start.startsWith("SIP/2.0 ") ? Number(this.start.split(" ")[1]) : 0;
  }

  get method() {
    return this.status ? this.get("CSeq").split(" ")[1] : this.start.split(" ")[0];
  }

  get sequence() {
    return Number(this.get("CSeq").split(" ")[0]);
  }

  get contact() {
    return /<([^>]+)>/.exec(this.get("Contact"))[1];
  }

  get routes() {
    return this.all("Record-Route").flatMap((value) => value.split(",")).map((value) => value.trim());
  }

  toString() {
    const length = new TextEncoder().encode(this.body).length;
    const headers = [...this.headers, ["Content-Length", length]];
    return [this.start, ...headers.map((header) => header.join(": ")), "", this.body].join("\r\n");
  }
}

class Line {
  constructor({server, user, domain}) {
    this.host = `${token()}.invalid`; // a page knows no address of its own (RFC 7118, section 5)
    this.contact = `<sip:${user}@${this.host};transport=ws>`;
    this.tag = token();
    Object.assign(this, {server, user, domain, sequence: 0, waiting: new Map(), trace: [], reached: new Map()});
  }

  async register() {
    this.socket = new WebSocket(this.server, "sip");
    this.socket.onmessage = ({data}) => this.receive(data);
    await new Promise((resolve, reject) => Object.assign(this.socket, {onopen: resolve, onerror: reject}));
    const own = `<sip:${this.user}@${this.domain}>`;
    this.begin({id: token(), target: `sip:${this.domain}`, local: `${own};tag=${this.tag}`, remote: own});
    const {status} = await this.ask("REGISTER", [["Expires", "300"]]);
    if (status !== 200) throw new Error(`REGISTER: ${status}`);
  }

  begin({id, target, local, remote, route = []}) {
    Object.assign(this, {id, target, local, remote, route, invite: undefined});
  }

  // What a caller does: returns after the 200.
  async call({user}) {
    const own = `<sip:${this.user}@${this.domain}>;tag=${this.tag}`;
    const target = `sip:${user}@${this.domain}`;
    this.begin({id: token(), target, local: own, remote: `<${target}>`});
    await this.offer({});
  }

  async restart() {
    await this.offer({restart: true});
  }

  async offer({restart}) {
    const sdp = await phone.offer({gathered: true, restart});
    const final = await this.ask("INVITE", [["Content-Type", "application/sdp"]], sdp);
    if (final.status !== 200) throw new Error(`INVITE: ${final.start}`);
    await phone.accept({sdp: final.body});
  }

  // What a callee does.
  async incoming() {
    await this.wait("INVITE");
  }

  async answer() {
    const sdp = await phone.answer({sdp: this.invite.body, gathered: true});
    this.respond(this.invite, "200 OK", sdp);
    await this.wait("ACK");
  }

  // What both do.
  async hangUp() {
    const {status} = await this.ask("BYE");
    if (status !== 200) throw new Error(`BYE: ${status}`);
  }

  async ended() {
    await this.wait("BYE");
  }

  async cancelled() {
    await this.wait("CANCEL");
  }

  // The next request of this method, or one that came since we waited last.
  async wait(method) {
    const slot = this.slot(method);
    await slot.promise;
    this.reached.delete(method);
  }

  slot(method) {
    if (!this.reached.has(method)) {
      const slot = {};
      slot.promise = new Promise((resolve) => Object.assign(slot, {resolve}));
      this.reached.set(method, slot);
    }
    return this.reached.get(method);
  }

  // The final response to a request.
  ask(method, headers = [], body = "") {
    const request = this.request(method, ++this.sequence, headers, body);
    return new Promise((resolve) => {
      this.waiting.set(`${this.sequence} ${method}`, resolve);
      this.send(request);
    });
  }

  request(method, sequence, headers, body) {
    return new Message(`${method} ${this.target} SIP/2.0`, [
      ["Via", `SIP/2.0/WSS ${this.host};branch=z9hG4bK${token()}`],
      ["Max-Forwards", "70"],
      ...this.route.map((one) => ["Route", one]),
      ["From", this.local],
      ["To", this.remote],
      ["Call-ID", this.id],
      ["CSeq", `${sequence} ${method}`],
      ["Contact", this.contact],
      ...headers,
    ], body);
  }

  respond(request, status, body = "") {
    const repeated = ["via", "from", "to", "call-id", "cseq", "record-route"];
    const headers = request.headers
      .filter(([name]) => repeated.includes(name.toLowerCase()))
      .map(([name, value]) => [name, this.tagged(name, value)]);
    headers.push(["Contact", this.contact]);
    if (body) headers.push(["Content-Type", "application/sdp"]);
    this.send(new Message(`SIP/2.0 ${status}`, headers, body));
  }

  tagged(name, value) {
    return name.toLowerCase() === "to" && !value.includes(";tag=") ? `${value};tag=${this.tag}` : value;
  }

  send(message) {
    this.trace.push(`> ${message}`);
    this.socket.send(String(message));
  }

  receive(text) {
    if (!text.trim()) return; // a keep-alive
    this.trace.push(`< ${text}`);
    const message = Message.parse(text);
    if (message.status) this.onResponse(message);
    else this.onRequest(message);
  }

  onResponse(message) {
    if (message.status < 200) return;
    if (message.method === "INVITE") this.acknowledge(message);
    const key = message.get("CSeq");
    this.waiting.get(key)?.(message);
    this.waiting.delete(key);
  }

  acknowledge(final) {
    if (final.status === 200) {
      if (!this.remote.includes(";tag=")) this.route = final.routes.reverse(); // for the whole call
      this.remote = final.get("To");
      this.target = final.contact;
      this.send(this.request("ACK", final.sequence, [], ""));
    }
  }

  onRequest(request) {
    switch (request.method) {
      case "INVITE":
        if (request.get("Call-ID") === this.id) return void this.onReinvite(request);
        this.begin({
          id: request.get("Call-ID"),
          target: request.contact,
          local: this.tagged("To", request.get("To")),
          remote: request.get("From"),
          route: request.routes,
        });
        this.invite = request;
        this.respond(request, "180 Ringing");
        break;
      case "BYE":
      case "CANCEL":
        this.respond(request, "200 OK");
        if (request.method === "CANCEL") this.respond(this.invite, "487 Request Terminated");
        break;
    }
    this.slot(request.method).resolve();
  }

  async onReinvite(request) {
    this.respond(request, "200 OK", await phone.answer({sdp: request.body, gathered: true}));
  }
}
