namespace Nanograd

/// One spatial axis of a convolution: result r meets tap t at place Start + r * PerResult + t * PerTap of x, and +0 where that is
/// outside 0 .. Extent-1. A place is Step elements from the one before.
type WindowAxis =
    { Extent: int
      Step: int
      Results: int
      Taps: int
      Start: int
      PerResult: int
      PerTap: int }

/// The axes of a convolution.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module WindowAxis =
    let results (axes: WindowAxis[]) = axes |> Array.fold (fun n a -> n * a.Results) 1
    let taps (axes: WindowAxis[]) = axes |> Array.fold (fun n a -> n * a.Taps) 1

    /// Fewer output channels of a group than this do not fill vectors.
    let fewOutputs = 8

    /// At least three axes, the first ones of a single place.
    let three (axes: WindowAxis[]) : WindowAxis[] =
        let single =
            { Extent = 1
              Step = 0
              Results = 1
              Taps = 1
              Start = 0
              PerResult = 1
              PerTap = 1 }
        Array.append (Array.create (3 - axes.Length) single) axes

    /// Where in x the element is that a result and a tap (row-major numbers) meet, from the first element of the channel on; nowhere in
    /// the padding.
    let place (axes: WindowAxis[]) (result: int) (tap: int) : int voption =
        let mutable r, t, at, isInside = result, tap, 0, true
        for i in axes.Length - 1 .. -1 .. 0 do
            let a = axes[i]
            let p = a.Start + r % a.Results * a.PerResult + t % a.Taps * a.PerTap
            isInside <- isInside && p >= 0 && p < a.Extent
            at <- at + p * a.Step
            r <- r / a.Results
            t <- t / a.Taps
        if isInside then ValueSome at else ValueNone
