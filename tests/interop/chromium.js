// A phone in a page: says a tone (and shows a picture that moves), measures what it hears.
class Phone {
  constructor({frequency, codec, video, data, configuration}) {
    this.context = new AudioContext({sampleRate: 48000});
    this.ear = new AnalyserNode(this.context, {fftSize: 32768, smoothingTimeConstant: 0});
    this.peer = new RTCPeerConnection(configuration);
    this.peer.ontrack = ({track}) => this.listen(track);
    this.peer.ondatachannel = ({channel}) => {
      channel.onmessage = ({data}) => channel.send(data);
    };
    if (data) this.channel = this.peer.createDataChannel("");
    this.found = [];
    this.peer.onicecandidate = ({candidate}) => {
      if (candidate?.candidate) this.found.push(candidate.toJSON());
    };
    this.codec = codec;
    const mouth = this.context.createMediaStreamDestination();
    const oscillator = new OscillatorNode(this.context, {frequency});
    oscillator.connect(mouth);
    oscillator.start();
    this.tracks = mouth.stream.getTracks();
    if (video) this.tracks.push(...this.picture().getTracks());
  }

  picture() {
    const canvas = Object.assign(document.createElement("canvas"), {width: 320, height: 240});
    const pencil = canvas.getContext("2d");
    let frames = 0;
    setInterval(() => {
      pencil.fillStyle = `hsl(${frames++ * 7} 80% 50%)`;
      pencil.fillRect(frames % 320, 0, 80, 240);
    }, 40);
    return canvas.captureStream(25);
  }

  listen(track) {
    const stream = new MediaStream([track]);
    // Without a media element that plays the stream, WebAudio hears nothing of it.
    const element = Object.assign(document.createElement(track.kind), {srcObject: stream, muted: true});
    element.play();
    this.elements = [...(this.elements ?? []), element];
    if (track.kind === "audio") this.context.createMediaStreamSource(stream).connect(this.ear);
  }

  speak() {
    for (const track of this.tracks) this.peer.addTrack(track);
    if (!this.codec) return;
    const [audio] = this.peer.getTransceivers();
    const codecs = RTCRtpSender.getCapabilities("audio").codecs;
    audio.setCodecPreferences(codecs.filter(({mimeType}) => mimeType === `audio/${this.codec}`));
  }

  addCamera() {
    const [track] = this.picture().getTracks();
    this.tracks.push(track);
    const idle = this.peer.getTransceivers().find(({receiver, sender}) => receiver.track.kind === "video" && !sender.track);
    if (idle) return idle.sender.replaceTrack(track);
    this.peer.addTrack(track);
  }

  fallSilent() {
    this.peer.getTransceivers().find(({receiver}) => receiver.track.kind === "audio").direction = "inactive";
  }

  askOverDataChannel({text}) {
    return new Promise((resolve) => {
      this.channel.onmessage = ({data}) => resolve(data);
      if (this.channel.readyState === "open") this.channel.send(text);
      else this.channel.onopen = () => this.channel.send(text);
    });
  }

  async offer({gathered, restart}) {
    if (this.peer.getSenders().length === 0) this.speak();
    return this.describe(await this.peer.createOffer({iceRestart: restart}), gathered);
  }

  async answer({sdp, gathered}) {
    await this.peer.setRemoteDescription({type: "offer", sdp});
    if (this.peer.getSenders().every(({track}) => !track)) this.speak();
    return this.describe(await this.peer.createAnswer(), gathered);
  }

  async describe(description, gathered) {
    await this.peer.setLocalDescription(description);
    if (!gathered) return description.sdp;
    const complete = () => this.peer.iceGatheringState === "complete";
    await this.reached("icegatheringstatechange", complete);
    return this.peer.localDescription.sdp;
  }

  // The candidates of the description before gathering, once all are known.
  async candidates() {
    await this.reached("icegatheringstatechange", () => this.peer.iceGatheringState === "complete");
    return this.found;
  }

  async accept({sdp}) {
    await this.peer.setRemoteDescription({type: "answer", sdp});
  }

  async connected() {
    const {peer} = this;
    await this.reached("connectionstatechange", () => {
      if (peer.connectionState === "failed") throw new Error(`failed, ICE is ${peer.iceConnectionState}`);
      return peer.connectionState === "connected";
    });
  }

  reached(event, condition) {
    return new Promise((resolve, reject) => {
      const look = () => {
        try {
          if (condition()) resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.peer.addEventListener(event, look);
      look();
    });
  }

  // The last two thirds of a second.
  heard() {
    const samples = new Float32Array(this.ear.fftSize);
    this.ear.getFloatTimeDomainData(samples);
    return {rate: this.context.sampleRate, samples: Array.from(samples)};
  }

  // The ufrag under which the pair in use was checked.
  async path() {
    const found = await this.peer.getStats();
    const transport = [...found.values()].find(({type}) => type === "transport");
    const pair = found.get(transport?.selectedCandidatePairId);
    return found.get(pair?.localCandidateId)?.usernameFragment ?? "";
  }

  async counted({kind}) {
    const found = {sent: 0, received: 0, lost: 0, frames: 0};
    for (const entry of (await this.peer.getStats()).values()) {
      if (entry.kind !== kind) continue;
      if (entry.type === "outbound-rtp") found.sent += entry.packetsSent;
      if (entry.type !== "inbound-rtp") continue;
      found.received += entry.packetsReceived;
      found.lost += entry.packetsLost;
      found.frames += entry.framesDecoded ?? 0;
    }
    return found;
  }
}
