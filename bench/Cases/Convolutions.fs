/// Single convolutions, and both of their gradients.
module Nanograd.Bench.Cases.Convolutions

open Nanograd
open Nanograd.Bench.Make

/// One convolution, NCHW, no bias.
type private Layer =
    { Rows: int
      Inputs: int
      Outputs: int
      Extent: int
      Size: int
      Padding: int
      Stride: int
      Dilation: int
      Groups: int }

let private plain rows inputs outputs extent size =
    { Rows = rows
      Inputs = inputs
      Outputs = outputs
      Extent = extent
      Size = size
      Padding = size / 2
      Stride = 1
      Dilation = 1
      Groups = 1 }

/// Forward, and the gradients of input and filters for a given one of the result.
let private pair name (l: Layer) =
    let options =
        { ConvOptions.Default with
            Padding = Padding.By [| l.Padding |]
            Stride = [| l.Stride |]
            Dilation = [| l.Dilation |]
            Groups = l.Groups }
    let extent = (l.Extent + 2 * l.Padding - l.Dilation * (l.Size - 1) - 1) / l.Stride + 1
    let places = float (l.Rows * l.Outputs * extent * extent)
    let flop = 2.0 * places * float (l.Inputs / l.Groups * l.Size * l.Size)
    let images () = normal 1L [| l.Rows; l.Inputs; l.Extent; l.Extent |]
    let filters () = normal 2L [| l.Outputs; l.Inputs / l.Groups; l.Size; l.Size |]
    let forward (x, w) = conv2d options w None x
    let towards (x, w, dy) = grad (fun (x, w) -> sum (forward (x, w) * dy)) (x, w)
    let config = $"[{l.Rows},{l.Inputs},{l.Extent},{l.Extent}] * [{l.Outputs},{l.Inputs / l.Groups},{l.Size},{l.Size}]"
    [ arithmetic name config flop (fun () -> ofFunction forward (images (), filters ()))
      arithmetic $"{name}_grads" $"{config}, both gradients" (2.0 * flop) (fun () ->
          ofFunction towards (images (), filters (), normal 3L [| l.Rows; l.Outputs; extent; extent |])) ]

let all =
    [ yield! pair "conv3x3_64_56" (plain 8 64 64 56 3)
      yield! pair "conv3x3_256_14" (plain 8 256 256 14 3)
      yield! pair "conv1x1_256_56" (plain 8 256 64 56 1)
      yield! pair "conv_dilated" { plain 8 48 80 41 3 with Padding = 2; Dilation = 2 }
      yield! pair "conv_groups" { plain 8 64 96 35 3 with Groups = 4 }
      yield! pair "conv_depthwise" { plain 8 96 96 56 3 with Groups = 96 }
      yield! pair "conv_stride2" { plain 8 61 67 57 3 with Stride = 2 }
      yield! pair "conv_batch1" (plain 1 64 128 61 3)
      yield! pair "conv_first7x7" { plain 8 3 64 224 7 with Stride = 2 } ]
