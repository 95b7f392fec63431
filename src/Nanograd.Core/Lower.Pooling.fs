namespace Nanograd

/// Pooling and its gradient as kernels.
[<RequireQualifiedAccess>]
module internal LowerPooling =
    /// True of the functions that `add` knows.
    let isKnown (c: Custom) = PoolCall.isKnown c

    let private axis (f: PoolForm) i : PoolAxis =
        if i < 0 then
            { Extent = 1; Windows = 1; Size = 1; Stride = 1; Padding = 0; Dilation = 1 }
        else
            let w = f.Windows
            { Extent = f.Shape[w.First + i]
              Windows = w.Windows[i]
              Size = w.Size[i]
              Stride = w.Stride[i]
              Padding = w.Padding[i]
              Dilation = w.Dilation[i] }

    let private kernel (p: Planner) (f: PoolForm) (t: Tensor) : Pool =
        let last = f.Windows.Size.Length - 1
        let operands = t.Inputs |> Array.map p.Realise
        { IsMax = f.IsMax
          Planes = Shape.count f.Shape[.. f.Windows.First - 1]
          Down = axis f (last - 1)
          Across = axis f last
          Source = if f.IsMax || not f.IsGradient then operands[0] else -1
          Cotangent = if f.IsGradient then operands[operands.Length - 1] else -1
          Result = -1 }

    /// Adds the kernel of a call whose operands are in memory.
    let add (p: Planner) (t: Tensor) (c: Custom) =
        match PoolCall.formOf c with
        | ValueSome f ->
            let pool = kernel p f t
            let result = p.NewBuffer(DType.F32, Shape.count c.Body.Results[0].Shape, Place.Temporary)
            if p.Buffers[result].Length > 0 then p.Kernels.Add(Kernel.Pool { pool with Result = result })
            p.KeepAll(t, [| result |])
        | ValueNone -> invalidOp $"lower: {c.Name} has no kernel (this is a mistake in Nanograd)"
