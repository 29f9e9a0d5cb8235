"""Small models that once ended the program, did not end, or gave another answer without a word; each with inputs and, where there is one, the right output. Needs onnx."""
import onnx, numpy as np, os, pathlib
from onnx import helper as h, numpy_helper as nh, TensorProto as T
def save(name, nodes, inits=(), inputs=(), functions=(), ops=17, ins=(), outs=(), otype=T.FLOAT):
    d=str(pathlib.Path(__file__).parent/name); os.makedirs(d,exist_ok=True)
    g=h.make_graph(nodes,"g",[h.make_tensor_value_info(n,t,None) for n,t in inputs],[h.make_tensor_value_info("y",otype,None)],[nh.from_array(np.asarray(v),k) for k,v in inits])
    m=h.make_model(g,opset_imports=[h.make_opsetid("",ops),h.make_opsetid("mine",1)],functions=list(functions),ir_version=10)
    open(d+"/m.onnx","wb").write(m.SerializeToString())
    for i,v in enumerate(ins): open(f"{d}/input_{i}.pb","wb").write(nh.from_array(np.asarray(v)).SerializeToString())
    for i,v in enumerate(outs): open(f"{d}/output_{i}.pb","wb").write(nh.from_array(np.asarray(v)).SerializeToString())
    print(name, os.path.getsize(d+"/m.onnx"))
f32=np.float32; i64=np.int64
one=np.array([1],f32)
# col2im
save("col2im",[h.make_node("Col2Im",["x","im","bl"],["y"])],[("im",np.array([1,1],i64)),("bl",np.array([2**32,2**32],i64))],[("x",T.FLOAT)],ops=18,ins=[np.zeros((1,9,1),f32)],outs=[one])
save("split",[h.make_node("Split",["w"],["y"],num_outputs=2**60,axis=0)],[("w",np.zeros(4,f32))],ops=18,outs=[one])
save("tscatter",[h.make_node("TensorScatter",["x","u"],["y"],mode="circular")],[],[("x",T.FLOAT),("u",T.FLOAT)],ops=24,ins=[np.zeros((1,1,0,2),f32),np.zeros((1,1,1,2),f32)],outs=[one])
save("attn",[h.make_node("Attention",["x","k","v"],["y"])],[],[("x",T.FLOAT),("k",T.FLOAT),("v",T.FLOAT)],ops=23,ins=[np.zeros((1,2,3,2),f32),np.zeros((1,2,3,2),f32),np.zeros((1,0,3,2),f32)],outs=[one])
# function with tensor attribute, twice
c=h.make_node("Constant",[],["k"]); a=onnx.AttributeProto(); a.name="value"; a.ref_attr_name="t"; a.type=onnx.AttributeProto.TENSOR; c.attribute.append(a)
fn=h.make_function("mine","F",["a"],["b"],[c,h.make_node("Add",["a","k"],["b"])],[h.make_opsetid("",17)],["t"])
t=lambda v: nh.from_array(np.array([v],f32))
save("fn",[h.make_node("F",["x"],["h"],domain="mine",t=t(1.0)),h.make_node("F",["h"],["y"],domain="mine",t=t(100.0))],[],[("x",T.FLOAT)],[fn],ins=[np.array([0],f32)],outs=[np.array([101],f32)])
# overloads
def ov(o,v):
    f=h.make_function("mine","G",["a"],["b"],[h.make_node("Constant",[],["k"],value=t(v)),h.make_node("Add",["a","k"],["b"])],[h.make_opsetid("",17)]); f.overload=o; return f
n=h.make_node("G",["x"],["y"],domain="mine"); n.overload="two"
save("ov",[n],[],[("x",T.FLOAT)],[ov("one",1.0),ov("two",2.0)],ins=[np.array([0],f32)],outs=[np.array([2],f32)])
# laughs
fs=[]
for i in range(28):
    op=(lambda x,y: h.make_node(f"L{i+1}",[x],[y],domain="mine")) if i<27 else (lambda x,y: h.make_node("Relu",[x],[y]))
    fs.append(h.make_function("mine",f"L{i}",["a"],["b"],[op("a","m"),op("m","b")],[h.make_opsetid("",17),h.make_opsetid("mine",1)]))
save("laughs",[h.make_node("L0",["x"],["y"],domain="mine")],[],[("x",T.FLOAT)],fs,ins=[one],outs=[one])
# fold blowup
save("fold",[h.make_node("DFT",["w","n"],["y"],axis=1)],[("w",np.zeros((1,1,1),f32)),("n",np.array(16384,i64))],ops=17,outs=[one])
save("fold2",[h.make_node("ConvTranspose",["w","k"],["y"],strides=[2**29])],[("w",np.zeros((1,1,3),f32)),("k",np.zeros((1,1,1),f32))],ops=17,outs=[one])
save("dq",[h.make_node("DequantizeLinear",["x","s"],["y"],output_dtype=T.FLOAT16)],[("s",np.array(0.5,f32))],[("x",T.UINT8)],ops=23,ins=[np.array([2],np.uint8)],outs=[np.array([1],np.float16)],otype=T.FLOAT16)
save("scan8",[h.make_node("Scan",["l","s","x"],["y","z"],num_scan_inputs=1,body=h.make_graph([h.make_node("Identity",["a"],["b"]),h.make_node("Identity",["c"],["d"])],"b",[h.make_tensor_value_info(q,1,None) for q in "ac"],[h.make_tensor_value_info(q,1,None) for q in "bd"]))],[],[("l",T.INT64),("s",T.FLOAT),("x",T.FLOAT)],ops=8,ins=[np.array([3],i64),np.zeros((2,1),f32),np.zeros((2,3,1),f32)],outs=[np.zeros((2,1),f32)])
save("einsum",[h.make_node("Einsum",["p","q"],["y"],equation="i,i->i")],[],[("p",T.INT64),("q",T.INT64)],ops=17,ins=[np.array([2**40+1]),np.array([2**20+1])],outs=[np.array([(2**40+1)*(2**20+1)])],otype=T.INT64)
save("reduce8",[h.make_node("ReduceL1",["x"],["y"],noop_with_empty_axes=1)],[],[("x",T.FLOAT)],ops=18,ins=[-np.ones((1,)*8,f32)],outs=[np.ones((1,)*8,f32)])
save("reshape",[h.make_node("Reshape",["x","s"],["y"])],[("s",np.array([2**32,2**32],i64))],[("x",T.FLOAT)],ops=17,ins=[np.zeros((0,),f32)],outs=[np.zeros((0,),f32)])
save("bn",[h.make_node("BatchNormalization",["x","a","b","c","d"],["y","",""])],[("a",one),("b",one*0),("c",one*0),("d",one)],[("x",T.FLOAT)],ops=9,ins=[np.array([[[1],[3]]],f32).reshape(2,1)],outs=[np.array([[1],[3]],f32)])
