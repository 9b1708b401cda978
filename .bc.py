import sys, statistics, time
import relay.daemon.engine as E
import bench.control as C
from bench.control import *
orig=E.Engine.execute
def off(self, request): return self._execute(request)
engine = Engine(Settings((Interface("default", RELAY, RELAY),), port_min=20000, workers=1, log_level="WARNING"))
class W:
    def __init__(s,inner): s.inner=inner; s.t=[]
    def datagram(s,d,p):
        a=time.perf_counter_ns(); r=s.inner.datagram(d,p); b=time.perf_counter_ns()
        cmd=[c for c in ("offer","answer","delete") if c.encode() in d.split(b'sdp')[0]][:1] or ['x']
        s.t.append((cmd[0],(b-a)/1e3)); return r
spare_the_collector()
res={}
import io,contextlib
for rnd in range(12):
    for mode in ('off','on'):
        E.Engine.execute = off if mode=='off' else orig
        w=W(NgServer(engine.execute)); b=Bench(w)
        b.spent=dict.fromkeys(COMMANDS,0.0)
        for kind in (PLAIN,WEBRTC):
            w.t=[]
            for _ in range(100): b.call(kind)
            # three commands per call
            for i,(c,t) in enumerate(w.t): res.setdefault((kind.name,i%3,mode),[]).append(t)
            res.setdefault((kind.name,'cpu',mode),[]).append(sum(b.spent.values())*1e6/100); b.spent=dict.fromkeys(COMMANDS,0.0)
for k,v in sorted(res.items(),key=str):
    q=statistics.quantiles(v,n=20)
    print(k, 'median %.0f p5 %.0f p25 %.0f p95 %.0f'%(statistics.median(v),q[0],q[4],q[18]), len(v))
engine.stop()
