from random import Random
from hypothesis import given, settings, Phase, HealthCheck
from hypothesis import strategies as st
from tests.laws.specs import blends, clauses, recurrences
from tests.laws.subjects import subject_of_text
from mixerc.verify.carry import carry_law, packed_law
from mixerc.verify.causality import causality_law, rows_law
from mixerc.verify.generality import generality_law
from mixerc.verify.layers import packed_layer_law, parts_law, whole_law
from mixerc.verify.cases import random_case
from mixerc.verify.modes import FAST, chunk_law, logarithm_law
import traceback, time
seen=[]
def collect(s,n):
    @settings(max_examples=n,phases=[Phase.generate],deadline=None,database=None,suppress_health_check=list(HealthCheck))
    @given(s())
    def f(t): seen.append(t)
    f()
def test_x():
    for s in (recurrences,clauses,blends): collect(s,25)
    t0=time.time(); bad=0
    for text in dict.fromkeys(seen):
        if time.time()-t0>120 or bad>4: break
        try: sub=subject_of_text(text)
        except BaseException as e: print("SUBJECT",str(e)[:200],text); continue
        r=Random(0); case=random_case(sub,r,tokens=9,batch=3)
        laws={"carry":lambda: carry_law(sub,case,4,"parallel","recurrent"),"packed":lambda: packed_law(sub,case,(0,4,4,9),"parallel"),"caus":lambda: causality_law(sub,case,4,"parallel"),"rows":lambda: rows_law(sub,case),"gen":lambda: generality_law(sub,random_case(sub,r,tokens=20)),"chunk":lambda: chunk_law(sub,case,4),"log":lambda: logarithm_law(sub,case)}
        if sub.mixer.y is not None and "input" not in text:
            laws|={"whole":lambda: whole_law(sub,5,1),"parts":lambda: parts_law(sub,9,(1,5),1),"pl":lambda: packed_layer_law(sub,(0,3,3,8),1)}
        for n,f in laws.items():
            try:
                res=f()
                if not res.passed: bad+=1; print("LAW",n,res.worst,res.bound,res.detail[:200]); print(text)
            except BaseException as e:
                bad+=1; print(n,"EXC",str(e)[:250]); print(text); traceback.print_exc(limit=-4)
    print("tried",len(dict.fromkeys(seen)),time.time()-t0)
