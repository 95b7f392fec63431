namespace Nanograd.Bench

open System

/// Whether both sides computed the same numbers.
module Compare =
    /// The largest difference in a tensor, relative to the largest magnitude in it; infinite where only one is finite.
    let private ofTensor (ours: float32[]) (theirs: float32[]) =
        let mutable difference, largest = 0.0, 0.0
        for i in 0 .. ours.Length - 1 do
            let x, y = float ours[i], float theirs[i]
            if Double.IsFinite x && Double.IsFinite y then
                difference <- max difference (abs (x - y))
                largest <- max largest (abs y)
            elif not (x.Equals y) then
                difference <- infinity
        if difference = 0.0 then 0.0 else difference / max largest 1e-30

    /// The same in the mean of squares: of parameters after a step of Adam. Where a gradient is rounding noise about zero, the first
    /// update is anything up to the rate, so that single elements may differ; the gradients themselves are compared one by one.
    let private ofUpdated (ours: float32[]) (theirs: float32[]) =
        if Array.forall Single.IsFinite ours && Array.forall Single.IsFinite theirs then
            let squares = Array.sumBy (fun x -> x * x)
            let differences = Array.map2 (fun (x: float32) (y: float32) -> float x - float y) ours theirs
            sqrt (squares differences / max (theirs |> Array.map float |> squares) 1e-30)
        else
            ofTensor ours theirs

    /// The largest error of all results. A step of Adam shows its loss, then its parameters, then as many first moments.
    let error (isAdam: bool) (ours: (int[] * float32[])[]) (theirs: (int[] * float32[])[]) : float =
        if ours.Length <> theirs.Length then failwith $"{ours.Length} results here, {theirs.Length} there"
        let isUpdated i = isAdam && i > 0 && i <= (ours.Length - 1) / 2
        let ofResult i (shape: int[], x) (other: int[], y) =
            if shape <> other then failwith $"%A{shape} here, %A{other} there"
            if isUpdated i then ofUpdated x y else ofTensor x y
        Array.fold max 0.0 (Array.mapi2 ofResult ours theirs)
