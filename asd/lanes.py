"""Eight numbers at once: a vector type for compiled code.

A compiler turns a loop into vector operations only where it can prove that its arrays do not
overlap, which it gives up on where a loop has many of them, as the butterflies of a Fourier
transform do. Here the vectors are written down: `load` eight neighbours of an array, add, subtract
and multiply as if they were one number, `store` them. Every operation is the plain IEEE one,
lane by lane, so that the results are those of the loop, bit for bit, on any machine: LLVM maps eight
lanes on whatever registers there are.

Everything here is for functions under `numba.njit`; `array` is a contiguous one, `at` an index into
it as if it were flat, which nobody checks.
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

LANES = 8


class Lanes(types.Type):
    """Eight floats, in compiled code."""

    def __init__(self, element):
        self.element = element
        super().__init__(f"Lanes({element})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.element).get_value_type(), LANES))


def _address(context, builder, array_type, array, at, vector):
    """Pointer to eight elements of an array, and its alignment."""
    data = context.make_array(array_type)(context, builder, array).data
    size = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer()), size


@intrinsic
def load(typing, array, at):
    """Eight elements from `array[at]` on."""
    lanes = Lanes(array.dtype)

    def code(context, builder, signature, args):
        vector = context.get_value_type(lanes)
        pointer, align = _address(context, builder, signature.args[0], *args, vector)
        return builder.load(pointer, align=align)

    return lanes(array, types.intp), code


@intrinsic
def store(typing, array, at, lanes):
    """Put eight numbers into an array from `array[at]` on."""

    def code(context, builder, signature, args):
        array, at, value = args
        pointer, align = _address(context, builder, signature.args[0], array, at, value.type)
        builder.store(value, pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def store_less(typing, array, at, a, b):
    """Put `a < b`, as ones and zeros, into an integer array from `array[at]` on."""

    def code(context, builder, signature, args):
        array, at, a, b = args
        whole = ir.VectorType(context.get_data_type(signature.args[0].dtype), LANES)
        pointer, align = _address(context, builder, signature.args[0], array, at, whole)
        builder.store(builder.zext(builder.fcmp_ordered("<", a, b), whole), pointer, align=align)
        return context.get_dummy_value()

    return types.void(array, types.intp, a, b), code


@intrinsic
def spread(typing, number):
    """One number in all lanes."""
    lanes = Lanes(number)

    def code(context, builder, signature, args):
        vector = context.get_value_type(lanes)
        unset, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(builder.insert_element(unset, args[0], first), unset, zeros)

    return lanes(number), code


@intrinsic
def doubled(typing, lanes):
    """The same numbers in float64."""
    wide = Lanes(types.float64)

    def code(context, builder, signature, args):
        vector = context.get_value_type(wide)
        return args[0] if args[0].type == vector else builder.fpext(args[0], vector)

    return wide(lanes), code


@intrinsic
def square_root(typing, lanes):
    def code(context, builder, signature, args):
        vector = args[0].type
        name = f"llvm.sqrt.v{LANES}f{lanes.element.bitwidth}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name), args
        )

    return lanes(lanes), code


@intrinsic
def absolute(typing, lanes):
    def code(context, builder, signature, args):
        vector = args[0].type
        name = f"llvm.fabs.v{LANES}f{lanes.element.bitwidth}"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector]), name), args
        )

    return lanes(lanes), code


@intrinsic
def total(typing, lanes):
    """The sum of all eight, neighbours first: `((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))`."""

    def code(context, builder, signature, args):
        parts = [builder.extract_element(args[0], ir.Constant(ir.IntType(32), i)) for i in range(LANES)]
        while len(parts) > 1:
            parts = [builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    return lanes.element(lanes), code


@intrinsic
def larger(typing, a, b):
    """The larger number of each pair."""

    def code(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, b), code


def _shift(n):
    @intrinsic
    def shift(typing, before, lanes):
        def code(context, builder, signature, args):
            chosen = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES - n, 2 * LANES - n)))
            return builder.shuffle_vector(*args, chosen)

        return lanes(before, lanes), code

    return shift


# Lanes moved up by 1, 2, 3; those that become free take the last ones of `before`.
shift_1, shift_2, shift_3 = _shift(1), _shift(2), _shift(3)


def _operation(name):
    @intrinsic
    def operation(typing, a, b):
        def code(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return a(a, b), code

    return operation


_added, _subtracted, _multiplied = _operation("fadd"), _operation("fsub"), _operation("fmul")


@overload(operator.add)
def _add(a, b):
    if isinstance(a, Lanes) and a == b:
        return lambda a, b: _added(a, b)


@overload(operator.sub)
def _subtract(a, b):
    if isinstance(a, Lanes) and a == b:
        return lambda a, b: _subtracted(a, b)


@overload(operator.mul)
def _multiply(a, b):
    """Of two vectors, or of a number and a vector."""
    if isinstance(a, Lanes) and a == b:
        return lambda a, b: _multiplied(a, b)
    if isinstance(b, Lanes) and a == b.element:
        return lambda a, b: _multiplied(spread(a), b)
