namespace Nanograd

open System

/// When a rewrite rule may be used.
[<RequireQualifiedAccess>]
type Stage =
    /// Keeps values (within rounding) and never makes a program slower: used everywhere.
    | Always
    /// The same, but only good for machines: not used for printing.
    | Compile
    /// True in algebra, but not for infinities and NaN (x - x = 0): used only for printing.
    | Relaxed

/// A law: a node that looks like the left side is replaced by the right side.
[<NoEquality; NoComparison>]
type Rule =
    {
        /// The law in words, `name: left = right`. Traces and tests call the rule by it.
        Name: string
        Family: string
        Stage: Stage
        /// The kind of node that it rewrites (see Patterns.head).
        Head: int
        Apply: Tensor -> Tensor voption
        /// A left side, made of two f64[2,3,4] and one f64[4,5]: what a property test starts from.
        Sample: Tensor -> Tensor -> Tensor -> Tensor
    }

/// The vocabulary of rules. Partial patterns are for rules only, which may say nothing; tables match Op itself.
[<AutoOpen>]
module internal Patterns =
    /// A small number for each kind of node: rules are found by it.
    let head (op: Op) =
        match op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.RandomBits -> 0
        | Op.Unary u -> 20 + Case.number u
        | Op.Binary b -> 60 + Case.number b
        | Op.Movement m -> 100 + Case.number m
        | Op.Reduce(r, _) -> 120 + Case.number r
        | Op.Select -> 1
        | Op.Cast -> 2
        | Op.BitCast -> 3
        | Op.ArgReduce _ -> 4
        | Op.CumSum _ -> 5
        | Op.Dot _ -> 6
        | Op.Conv _ -> 7
        | Op.Indexing _ -> 8
        | Op.Sort _ -> 9
        | Op.TopK _ -> 10
        | Op.Scan _ -> 11
        | Op.Custom _ -> 12
        | Op.Checkpoint _ -> 13
        | Op.Item _ -> 14

    /// One more than the largest head.
    let heads = 128

    let private rule family head name sample apply =
        { Name = name
          Family = family
          Stage = Stage.Always
          Head = head
          Apply = apply
          Sample = sample }

    /// A rule about an elementwise function of one operand.
    let unaryRule family u name sample apply = rule family (head (Op.Unary u)) name sample (fun t -> apply t.Inputs[0])

    /// A rule about an elementwise function of two operands (of equal shapes, as constructors make them).
    let binaryRule family b name sample apply =
        rule family (head (Op.Binary b)) name sample (fun t -> apply t.Inputs[0] t.Inputs[1])

    /// A rule about nodes like `like`; it is given the node and its first operand.
    let nodeRule family like name sample apply = rule family (head like) name sample (fun t -> apply t t.Inputs[0])

    let compileOnly r = { r with Stage = Stage.Compile }
    let relaxed r = { r with Stage = Stage.Relaxed }

    /// `v` everywhere, like `x`.
    let like (x: Tensor) (v: float) = Calculus.fill x.DType x.Shape v

    /// A constant everywhere.
    let constantLike (shape: int[]) (c: Constant) = Op.broadcast shape (Op.constant c)

    [<return: Struct>]
    let (|Uniform|_|) (x: Tensor) = Calculus.uniform x

    /// The number that stands everywhere.
    [<return: Struct>]
    let (|Number|_|) (x: Tensor) =
        match Calculus.uniform x with
        | ValueSome c -> ValueSome c.Float
        | ValueNone -> ValueNone

    let (|IsNumber|_|) (v: float) (x: Tensor) =
        match Calculus.uniform x with
        | ValueSome c -> c.Float = v
        | ValueNone -> false

    let (|UnaryOf|_|) (u: Unary) (x: Tensor) =
        match x.Op with
        | Op.Unary v when u = v -> Some x.Inputs[0]
        | _ -> None

    [<return: Struct>]
    let (|Neg|_|) (x: Tensor) =
        match x.Op with
        | Op.Unary Unary.Neg -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Add|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Add -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Sub|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Sub -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Mul|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Mul -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Div|_|) (x: Tensor) =
        match x.Op with
        | Op.Binary Binary.Div -> ValueSome(struct (x.Inputs[0], x.Inputs[1]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Reshaped|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement Movement.Reshape -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Permuted|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Permute p) -> ValueSome(struct (p, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Stretched|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement Movement.Broadcast -> ValueSome x.Inputs[0]
        | _ -> ValueNone

    [<return: Struct>]
    let (|Sliced|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Slice(a, s)) -> ValueSome(struct (a, s, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Padded|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Pad(low, high, interior)) -> ValueSome(struct (low, high, interior, x.Inputs[0]))
        | _ -> ValueNone

    [<return: Struct>]
    let (|Joined|_|) (x: Tensor) =
        match x.Op with
        | Op.Movement(Movement.Concat axis) -> ValueSome(struct (axis, x.Inputs))
        | _ -> ValueNone

    let isFloat (x: Tensor) = DType.isFloat x.DType

    /// `extents` elements of each axis from `starts`, `steps` apart.
    let sliceOf (starts: int[]) (steps: int[]) (extents: int[]) (x: Tensor) =
        let starts = starts |> Array.mapi (fun i s -> if extents[i] = 0 then min s x.Shape[i] else s) // nothing is taken from anywhere
        Op.slice
            starts
            (Array.init x.Rank (fun i ->
                if extents[i] = 0 then starts[i] else starts[i] + (extents[i] - 1) * steps[i] + 1))
            steps
            x

    // ---- samples

    /// f64 zeros, ones, ... for samples.
    let num (v: float) = Op.constant (Constant.ofFloat DType.F64 v)

    let isPowerOfTwo (v: float) = Double.IsNormal v && (BitConverter.DoubleToInt64Bits v &&& 0xFFFFFFFFFFFFFL) = 0L
