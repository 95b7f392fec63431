namespace Nanograd

open System
open System.Collections
open System.Collections.Generic

/// What the functions share: numbers beside tensors, axes that errors name as the user did, constants known when the
/// expression is built.
[<AutoOpen>]
module internal Shared =
    /// A number of a type.
    let constant (dtype: DType) (x: float) = Op.constant (Constant.ofFloat dtype x)

    /// A number that leaves the tensor's type as it is, unless it is a fraction beside integers.
    let beside (x: Tensor) (v: float) = if v = Math.Floor v && Double.IsFinite v then constant x.DType v else number x v

    /// Floats as they are, everything else as f32.
    let inFloat (x: Tensor) = if DType.isFloat x.DType then x else Op.cast DType.F32 x

    /// Applies `f` in the type that arithmetic on x is done in: integers as f32, 16-bit floats by way of f32.
    let computing (f: Tensor -> Tensor) (x: Tensor) =
        let x = inFloat x
        Op.cast x.DType (f (Op.cast (DType.arithmetic x.DType) x))

    /// The reduced tensor with the axes that disappeared put back as extents of 1.
    let keeping (axes: int[]) (x: Tensor) (reduced: Tensor) =
        Op.reshape (x.Shape |> Array.mapi (fun i e -> if Array.contains i axes then 1 else e)) reduced

    /// All axes.
    let allOf (x: Tensor) = [| 0 .. x.Rank - 1 |]

    /// Indices known now, i32[n].
    let indices (values: int[]) = Op.literal (Buffers.ofSpan DType.I32 (ReadOnlySpan values)) [| values.Length |]

    /// A new axis of extent 1, at a place from -rank-1 to rank.
    let insertAxis (op: string) (axis: int) (x: Tensor) =
        let rank = x.Rank
        if axis < -rank - 1 || axis > rank then
            Shape.fail op $"the place of the new axis must be between {-rank - 1} and {rank}, not {axis}" "" [ x ]
        Op.reshape (Array.insertAt (if axis < 0 then axis + rank + 1 else axis) 1 x.Shape) x

    /// Part of one axis, the others whole.
    let part (axis: int) (start: int) (stop: int) (step: int) (x: Tensor) =
        let at i whole part = if i = axis then part else whole
        Op.slice
            (Array.init x.Rank (fun i -> at i 0 start))
            (Array.init x.Rank (fun i -> at i x.Shape[i] stop))
            (Array.init x.Rank (fun i -> at i 1 step))
            x

    /// A closed function of as many tensors like `x`; expressions of constants alone must not occur in it, they would
    /// be operands.
    let private closed (count: int) (x: Tensor) (body: Tensor[] -> Tensor[]) =
        let lambda, captured = Lambda.trace (Array.create count (x.DType, x.Shape)) body
        if captured.Length > 0 then invalidOp $"a named function reads {Print.algebra captured[0]}, which is no operand"
        lambda

    /// A named elementwise function of one tensor whose derivative is that of its body.
    let named (name: string) (body: Tensor -> Tensor) (x: Tensor) =
        let lambda = closed 1 x (fun p -> [| body p[0] |])
        (Op.custom { Name = name; Body = lambda; Gradient = None } [| x |])[0]

    /// A named elementwise function of one tensor with its own derivative.
    let smooth (name: string) (body: Tensor -> Tensor) (slope: Tensor -> Tensor) (x: Tensor) =
        let lambda = closed 1 x (fun p -> [| body p[0] |])
        let gradient = closed 2 x (fun p -> [| p[1] * slope p[0] |])
        (Op.custom { Name = name; Body = lambda; Gradient = Some gradient } [| x |])[0]

    /// Both in one shape and one arithmetic type of floats.
    let together (x: Tensor) (y: Tensor) =
        let t = DType.promote (inFloat x).DType (inFloat y).DType
        let sum = Op.binary Binary.Add x y // raises the error that broadcasting raises
        let lift (t: DType) (x: Tensor) = Op.broadcast sum.Shape (Op.cast (DType.arithmetic t) x)
        lift t x, lift t y, t

    /// The same for two arguments: body, then the derivatives by x and by y.
    let smooth2 name (body: Tensor -> Tensor -> Tensor) (slopes: Tensor -> Tensor -> Tensor * Tensor) x y =
        let x, y, t = together x y
        let lambda = closed 2 x (fun p -> [| body p[0] p[1] |])
        let gradient =
            closed 3 x (fun p ->
                let dx, dy = slopes p[0] p[1]
                [| p[2] * dx; p[2] * dy |])
        (Op.custom { Name = name; Body = lambda; Gradient = Some gradient } [| x; y |])[0] |> Op.cast t

/// Nested sequences of numbers, as `tensor` takes them.
module internal Nested =
    let private fail required got hint = raise (ShapeException("tensor", required, got, hint))

    /// The element type that a .NET number stands for, and the number: fractions are f32, whole numbers i64.
    let private leaf (x: obj) =
        match x with
        | :? float as v -> ValueSome(struct (DType.F32, Constant.ofFloat DType.F64 v))
        | :? float32 as v -> ValueSome(struct (DType.F32, Constant.ofFloat DType.F64 (float v)))
        | :? Half as v -> ValueSome(struct (DType.F16, Constant.ofFloat DType.F64 (float v)))
        | :? decimal as v -> ValueSome(struct (DType.F32, Constant.ofFloat DType.F64 (float v)))
        | :? int as v -> ValueSome(struct (DType.I64, Constant.ofInt DType.I64 (int64 v)))
        | :? int64 as v -> ValueSome(struct (DType.I64, Constant.ofInt DType.I64 v))
        | :? int16 as v -> ValueSome(struct (DType.I64, Constant.ofInt DType.I64 (int64 v)))
        | :? uint32 as v -> ValueSome(struct (DType.U32, Constant.ofInt DType.I64 (int64 v)))
        | :? byte as v -> ValueSome(struct (DType.U8, Constant.ofInt DType.I64 (int64 v)))
        | :? sbyte as v -> ValueSome(struct (DType.I8, Constant.ofInt DType.I64 (int64 v)))
        | :? bool as v -> ValueSome(struct (DType.Bool, Constant.ofInt DType.I64 (if v then 1L else 0L)))
        | _ -> ValueNone

    let private convert (dtype: DType) (c: Constant) =
        if DType.isFloat c.DType then Constant.ofFloat dtype c.Float else Constant.ofInt dtype c.Int

    /// Shape, element type and elements of a nested sequence.
    let private read (values: obj) =
        let elements = List<Constant>()
        let mutable dtype = ValueNone
        let rec visit (x: obj) : int list =
            match leaf x with
            | ValueSome(struct (d, c)) ->
                match dtype with
                | ValueSome known when known <> d -> fail "numbers must be of one kind" $"{known} and {d}" "cast some"
                | _ -> dtype <- ValueSome d
                elements.Add c
                []
            | ValueNone ->
                match x with
                | :? Tensor -> fail "elements must be numbers" "a tensor" "use stack to join tensors"
                | :? Array as a when a.Rank > 1 ->
                    for e in a do
                        visit e |> ignore
                    List.init a.Rank a.GetLength
                | :? string
                | null -> fail "elements must be numbers" (if isNull x then "null" else "a string") ""
                | :? IEnumerable as xs ->
                    let shapes =
                        [ for e in xs do
                              visit e ]
                    match shapes with
                    | [] -> [ 0 ]
                    | first :: rest ->
                        match List.tryFindIndex ((<>) first) rest with
                        | Some i ->
                            let show (s: int list) = Shape.show (List.toArray s)
                            fail
                                "rows must have equal length"
                                $"{show first} and {show rest[i]} (row {i + 1})"
                                "pad the short ones"
                        | None -> shapes.Length :: first
                | _ -> fail "elements must be numbers" (x.GetType().Name) ""
        let shape = visit values
        shape, ValueOption.defaultValue DType.F32 dtype, elements

    let tensor (dtype: DType option) (values: obj) =
        let shape, own, elements = read values
        let dtype = defaultArg dtype own
        let s = Buffers.allocate dtype elements.Count
        for i in 0 .. elements.Count - 1 do
            Buffers.write s i (convert dtype elements[i])
        Op.literal s (List.toArray shape)

/// Making tensors.
[<AutoOpen>]
module Creation =
    /// <summary>A tensor of the numbers in a sequence, of nested sequences of one shape (`[rows; columns]` of rows), of
    /// an array of any rank, or of one number. Fractions are f32, whole numbers i64, truth values bool.</summary>
    /// <example><code>tensor [ [ 1.; 2. ]; [ 3.; 4. ] ] // tensor([[1., 2.], [3., 4.]])</code></example>
    let tensor (values: 'T) : Tensor =
        let ofFloats (a: float32[]) = Op.literal (Buffers.ofSpan DType.F32 (ReadOnlySpan a)) [| a.Length |]
        match box values with
        | :? (float32[]) as a -> ofFloats a
        | :? (seq<float>) as xs -> xs |> Seq.map float32 |> Seq.toArray |> ofFloats
        | other -> Nested.tensor None other

    /// <summary>As `tensor`, with the element type given.</summary>
    /// <example><code>tensorOf DType.F64 [ 0.1; 0.2 ] // tensor([0.1000, 0.2000], dtype=f64)</code></example>
    let tensorOf (dtype: DType) (values: 'T) : Tensor = Nested.tensor (Some dtype) (box values)

    /// <summary>A matrix of f32 (`[rows; columns]`) from rows of equal length.</summary>
    /// <example><code>matrix [ [ 1.; 2. ]; [ 3.; 4. ] ] // tensor([[1., 2.], [3., 4.]])</code></example>
    let matrix (rows: seq<#seq<float>>) : Tensor =
        let a = rows |> Seq.map (Seq.map float32 >> Seq.toArray) |> Seq.toArray
        let columns = if a.Length = 0 then 0 else a[0].Length
        match Array.tryFindIndex (fun (r: float32[]) -> r.Length <> columns) a with
        | Some i ->
            raise (
                ShapeException("matrix", "rows must have equal length", $"{columns} and {a[i].Length} (row {i})", "")
            )
        | None -> Op.literal (Buffers.ofSpan DType.F32 (ReadOnlySpan(Array.concat a))) [| a.Length; columns |]

    /// <summary>A tensor of any element type over a copy of `values` (row-major); 'T must have the type's size.</summary>
    /// <example><code>ofArray DType.I32 [| 2; 2 |] [| 1; 2; 3; 4 |]
    /// // tensor([[1, 2], [3, 4]], dtype=i32)</code></example>
    let ofArray<'T when 'T: unmanaged> (dtype: DType) (shape: int[]) (values: 'T[]) : Tensor =
        // Types of one size are not one type: the bits of an int are not a float.
        let isFloat = typeof<'T> = typeof<float> || typeof<'T> = typeof<float32> || typeof<'T> = typeof<Half>
        if sizeof<'T> <> DType.size dtype || (sizeof<'T> > 2 && isFloat <> DType.isFloat dtype) then
            raise (
                ShapeException(
                    "ofArray",
                    $"elements of {dtype} must come from their own .NET type",
                    $"{typeof<'T>.Name}[]",
                    "convert the array, or name another element type"
                )
            )
        Op.literal (Buffers.ofSpan dtype (ReadOnlySpan values)) shape

    /// <summary>An f32 scalar (`[]`) that is known when the expression is built.</summary>
    /// <example><code>scalar 2.5 // tensor(2.5000)</code></example>
    let scalar (x: float) : Tensor = Op.constant (Constant.ofFloat DType.F32 x)

    /// <summary>A scalar (`[]`) of any type that is known when the expression is built.</summary>
    /// <example><code>scalarOf DType.I64 3.0 // tensor(3)</code></example>
    let scalarOf (dtype: DType) (x: float) : Tensor = Op.constant (Constant.ofFloat dtype x)

    /// <summary>One number everywhere, of any type and shape.</summary>
    /// <example><code>full DType.I32 [| 2; 2 |] 7.0 // tensor([[7, 7], [7, 7]], dtype=i32)</code></example>
    let full (dtype: DType) (shape: int[]) (x: float) : Tensor =
        Op.broadcast shape (Op.constant (Constant.ofFloat dtype x))

    /// <summary>One number everywhere, in the type and shape of another tensor.</summary>
    /// <example><code>fullLike 0.5 (zeros [| 2 |]) // tensor([0.5000, 0.5000])</code></example>
    let fullLike (value: float) (x: Tensor) : Tensor = full x.DType x.Shape value

    /// <summary>Zeros, f32.</summary>
    /// <example><code>zeros [| 2; 3 |] // tensor([[0., 0., 0.], [0., 0., 0.]])</code></example>
    let zeros (shape: int[]) : Tensor = full DType.F32 shape 0.0

    /// <summary>Zeros of any type.</summary>
    /// <example><code>zerosOf DType.Bool [| 2 |] // tensor([false, false])</code></example>
    let zerosOf (dtype: DType) (shape: int[]) : Tensor = full dtype shape 0.0

    /// <summary>Zeros of the type and shape of another tensor.</summary>
    /// <example><code>zerosLike (tensor [ 1; 2 ]) // tensor([0, 0])</code></example>
    let zerosLike (x: Tensor) : Tensor = full x.DType x.Shape 0.0

    /// <summary>Ones, f32.</summary>
    /// <example><code>ones [| 3 |] // tensor([1., 1., 1.])</code></example>
    let ones (shape: int[]) : Tensor = full DType.F32 shape 1.0

    /// <summary>Ones of any type.</summary>
    /// <example><code>onesOf DType.I64 [| 2 |] // tensor([1, 1])</code></example>
    let onesOf (dtype: DType) (shape: int[]) : Tensor = full dtype shape 1.0

    /// <summary>Ones of the type and shape of another tensor.</summary>
    /// <example><code>onesLike (tensor [ 5.; 6. ]) // tensor([1., 1.])</code></example>
    let onesLike (x: Tensor) : Tensor = full x.DType x.Shape 1.0

    /// <summary>0, 1, ..., n - 1 of the given type, `[n]`.</summary>
    /// <example><code>arange DType.I64 4 // tensor([0, 1, 2, 3])</code></example>
    let arange (dtype: DType) (n: int) : Tensor = Op.iota dtype [| n |] 0

    let private positions (n: int) = Op.iota DType.F64 [| n |] 0

    /// <summary>start, start + step, ... before `stop`, of the given type: each is start + i step, rounded
    /// once.</summary>
    /// <example><code>arangeBy DType.F32 1.0 2.0 0.25 // tensor([1.0000, 1.2500, 1.5000, 1.7500])</code></example>
    let arangeBy (dtype: DType) (start: float) (stop: float) (step: float) : Tensor =
        let length = Math.Ceiling((stop - start) / step)
        if step = 0.0 || not (Double.IsFinite length) then
            raise (
                ShapeException(
                    "arangeBy",
                    "step must not be 0, and the bounds be finite",
                    $"{start}, {stop} by {step}",
                    ""
                )
            )
        Op.cast dtype (positions (int (max 0.0 length)) * step + start)

    /// <summary>`count` numbers of the given type at equal distances from `start` to `stop`, both included.</summary>
    /// <example><code>linspaceOf DType.F64 0.0 1.0 5
    /// // tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=f64)</code></example>
    let linspaceOf (dtype: DType) (start: float) (stop: float) (count: int) : Tensor =
        if count < 0 then raise (ShapeException("linspace", "the count must not be negative", string count, ""))
        if count <= 1 then
            full dtype [| count |] start
        else
            let i = positions count
            let even = i * ((stop - start) / float (count - 1)) + start
            let last = Op.binary Binary.Eq i (constant DType.F64 (float (count - 1)))
            Op.cast dtype (Op.select last (constant DType.F64 stop) even)

    /// <summary>`count` numbers (f32) at equal distances from `start` to `stop`, both included.</summary>
    /// <example><code>linspace 0.0 1.0 5 // tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])</code></example>
    let linspace (start: float) (stop: float) (count: int) : Tensor = linspaceOf DType.F32 start stop count

    /// <summary>`count` numbers (f32) from 10 ** start to 10 ** stop, both included, at equal ratios.</summary>
    /// <example><code>logspace 0.0 3.0 4 // tensor([1., 10., 100., 1000.])</code></example>
    let logspace (start: float) (stop: float) (count: int) : Tensor =
        Op.cast DType.F32 (Op.binary Binary.Pow (constant DType.F64 10.0) (linspaceOf DType.F64 start stop count))

    /// <summary>Ones on the diagonal of a matrix of zeros, `[rows; columns]` of the given type.</summary>
    /// <example><code>eyeOf DType.I64 2 3 // tensor([[1, 0, 0], [0, 1, 0]])</code></example>
    let eyeOf (dtype: DType) (rows: int) (columns: int) : Tensor =
        let index axis = Op.iota DType.I32 [| rows; columns |] axis
        Op.cast dtype (Op.binary Binary.Eq (index 0) (index 1))

    /// <summary>The identity matrix, f32 `[n; n]`.</summary>
    /// <example><code>eye 2 // tensor([[1., 0.], [0., 1.]])</code></example>
    let eye (n: int) : Tensor = eyeOf DType.F32 n n

    /// True at and below the diagonal that is `offset` above the main one.
    let private below (rows: int) (columns: int) (offset: int) =
        let index axis = Op.iota DType.I32 [| rows; columns |] axis
        Op.binary Binary.Le (index 1 - offset) (index 0)

    /// <summary>True on and below the diagonal: `[n; n]` bool.</summary>
    /// <example><code>causalMask 2 // tensor([[true, false], [true, true]])</code></example>
    let causalMask (n: int) : Tensor =
        Op.binary Binary.Ge (Op.iota DType.I32 [| n; n |] 0) (Op.iota DType.I32 [| n; n |] 1)

    let private triangle op keepBelow offset (x: Tensor) =
        if x.Rank < 2 then Shape.fail op "the operand must have at least two axes" "" [ x ]
        let mask = below x.Shape[x.Rank - 2] x.Shape[x.Rank - 1] (if keepBelow then offset else offset - 1)
        let none = Op.constant (Constant.ofInt x.DType 0L)
        if keepBelow then Op.select mask x none else Op.select mask none x

    /// <summary>The lower triangle of the last two axes: what is above diagonal `offset` (0: the main one, 1: the one
    /// above) becomes 0. The shape stays.</summary>
    /// <example><code>tril 0 (ones [| 3; 3 |]) // tensor([[1., 0., 0.], [1., 1., 0.], [1., 1., 1.]])</code></example>
    let tril (offset: int) (x: Tensor) : Tensor = triangle "tril" true offset x

    /// <summary>The upper triangle of the last two axes: what is below diagonal `offset` becomes 0. The shape
    /// stays.</summary>
    /// <example><code>triu 1 (ones [| 3; 3 |]) // tensor([[0., 1., 1.], [0., 0., 1.], [0., 0., 0.]])</code></example>
    let triu (offset: int) (x: Tensor) : Tensor = triangle "triu" false offset x

    let private triangleIndices (rows: int) (columns: int) (inside: int -> int -> bool) =
        let cells =
            [| for i in 0 .. rows - 1 do
                   for j in 0 .. columns - 1 do
                       if inside i j then i, j |]
        let all = Array.append (Array.map (fst >> int64) cells) (Array.map (snd >> int64) cells)
        Op.literal (Buffers.ofSpan DType.I64 (ReadOnlySpan all)) [| 2; cells.Length |]

    /// <summary>Rows and columns (i64, `[2; n]`) of the elements that `tril` keeps of a matrix, row by row.</summary>
    /// <example><code>trilIndices 2 3 0 // tensor([[0, 1, 1], [0, 0, 1]])</code></example>
    let trilIndices (rows: int) (columns: int) (offset: int) : Tensor =
        triangleIndices rows columns (fun i j -> j - i <= offset)

    /// <summary>Rows and columns (i64, `[2; n]`) of the elements that `triu` keeps of a matrix, row by row.</summary>
    /// <example><code>triuIndices 2 3 1 // tensor([[0, 0, 1], [1, 2, 2]])</code></example>
    let triuIndices (rows: int) (columns: int) (offset: int) : Tensor =
        triangleIndices rows columns (fun i j -> j - i >= offset)

    /// <summary>Grids of coordinates: from vectors `[n0]`, `[n1]`, ... as many tensors `[n0; n1; ...]`, the i-th of which
    /// varies along axis i (PyTorch's and NumPy's indexing "ij").</summary>
    /// <example><code>(meshgrid [ tensor [ 1.; 2. ]; tensor [ 3.; 4.; 5. ] ])[0]
    /// // tensor([[1., 1., 1.], [2., 2., 2.]])</code></example>
    let meshgrid (xs: seq<Tensor>) : Tensor[] =
        let xs = Seq.toArray xs
        for x in xs do
            if x.Rank > 1 then Shape.fail "meshgrid" "operands must be vectors or scalars" "" [ x ]
        let shape = xs |> Array.map (fun x -> x.Count)
        xs
        |> Array.mapi (fun i x ->
            Op.broadcast shape (Op.reshape (Array.init xs.Length (fun k -> if k = i then x.Count else 1)) x))

    /// Axes `first` and `second` moved to the end.
    let private atEnd (first: int) (second: int) (x: Tensor) =
        let others = allOf x |> Array.filter (fun a -> a <> first && a <> second)
        Op.permute (Array.append others [| first; second |]) x

    /// <summary>The elements of diagonal `offset` (above the main one if positive) of two axes, which disappear; the
    /// diagonal becomes the last axis. It must lie in the matrix or be empty.</summary>
    /// <example><code>diagonal 1 0 1 (matrix [ [ 1.; 2.; 3. ]; [ 4.; 5.; 6. ] ]) // tensor([2., 6.])</code></example>
    let diagonal (offset: int) (axis1: int) (axis2: int) (x: Tensor) : Tensor =
        let first, second = Shape.axis "diagonal" x axis1, Shape.axis "diagonal" x axis2
        if first = second then Shape.fail "diagonal" $"the two axes must differ, not both be {first}" "" [ x ]
        let y = atEnd first second x
        let rows, columns = y.Shape[y.Rank - 2], y.Shape[y.Rank - 1]
        let length = max 0 (min (rows + min offset 0) (columns - max offset 0))
        let rest = y.Shape[.. y.Rank - 3]
        let start =
            if length = 0 then 0
            elif offset >= 0 then offset
            else -offset * columns
        let stop = if length = 0 then 0 else start + (length - 1) * (columns + 1) + 1
        Op.reshape (Array.append rest [| rows * columns |]) y |> part rest.Length start stop (columns + 1)

    /// <summary>Matrices with the last axis on diagonal `offset` and zeros elsewhere: `[..; n]` to `[..; n + |offset|; n
    /// + |offset|]`.</summary>
    /// <example><code>diagEmbed 0 (tensor [ 1.; 2. ]) // tensor([[1., 0.], [0., 2.]])</code></example>
    let diagEmbed (offset: int) (x: Tensor) : Tensor =
        if x.Rank = 0 then Shape.fail "diagEmbed" "the operand must have at least one axis" "" [ x ]
        let length = x.Shape[x.Rank - 1]
        let n = length + abs offset
        let rest = x.Shape[.. x.Rank - 2]
        if length = 0 then
            full x.DType (Array.append rest [| n; n |]) 0.0
        else
            let start = if offset >= 0 then offset else -offset * n
            let used = (length - 1) * (n + 1) + 1
            let along v = Array.append (Array.zeroCreate rest.Length) [| v |]
            Op.pad (along start) (along (n * n - start - used)) (along n) (Op.constant (Constant.ofInt x.DType 0L)) x
            |> Op.reshape (Array.append rest [| n; n |])

    /// <summary>Of a vector the matrix with it on diagonal `offset`; of a matrix that diagonal, as a vector.</summary>
    /// <example><code>diag 0 (tensor [ 1.; 2. ]) // tensor([[1., 0.], [0., 2.]])</code></example>
    let diag (offset: int) (x: Tensor) : Tensor =
        match x.Rank with
        | 1 -> diagEmbed offset x
        | 2 -> diagonal offset 0 1 x
        | _ -> Shape.fail "diag" "the operand must be a vector or a matrix" "diagonal and diagEmbed take batches" [ x ]
