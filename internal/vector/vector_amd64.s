//go:build amd64 && !purego

#include "textflag.h"

// func dotAVX2(a, b *float32, n int) float32
//
// Four sums of eight lanes are the 32 partial sums of dotLanesGo, and are added
// up in its order: 16 apart, 8, 4, 2, 1. What is left after the last 32 goes to
// the first of them.
TEXT ·dotAVX2(SB), NOSPLIT, $0-28
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	SUBQ $32, CX
	JB rest

loop:
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VMULPS (DI), Y4, Y4
	VMULPS 32(DI), Y5, Y5
	VMULPS 64(DI), Y6, Y6
	VMULPS 96(DI), Y7, Y7
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VADDPS Y6, Y2, Y2
	VADDPS Y7, Y3, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $32, CX
	JAE loop

rest:
	ADDQ $32, CX
	JZ fold
	VMOVUPS (SI), Y4
	VMULPS (DI), Y4, Y4
	VADDPS Y4, Y0, Y0
	SUBQ $8, CX
	JZ fold
	VMOVUPS 32(SI), Y5
	VMULPS 32(DI), Y5, Y5
	VADDPS Y5, Y1, Y1
	SUBQ $8, CX
	JZ fold
	VMOVUPS 64(SI), Y6
	VMULPS 64(DI), Y6, Y6
	VADDPS Y6, Y2, Y2

fold:
	VADDPS Y2, Y0, Y0
	VADDPS Y3, Y1, Y1
	VADDPS Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VADDPS X1, X0, X0
	VMOVSHDUP X0, X1
	VADDSS X1, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func addScaledAVX2(y, x *float32, n int, scale float32)
TEXT ·addScaledAVX2(SB), NOSPLIT, $0-28
	MOVQ y+0(FP), DI
	MOVQ x+8(FP), SI
	MOVQ n+16(FP), CX
	VBROADCASTSS scale+24(FP), Y0

loop:
	VMULPS (SI), Y0, Y1
	VADDPS (DI), Y1, Y1
	VMOVUPS Y1, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $8, CX
	JNZ loop

	VZEROUPPER
	RET

// func addFourAVX2(y, x0, x1, x2, x3 *float32, n int, scale *[4]float32)
TEXT ·addFourAVX2(SB), NOSPLIT, $0-56
	MOVQ y+0(FP), DI
	MOVQ x0+8(FP), R8
	MOVQ x1+16(FP), R9
	MOVQ x2+24(FP), R10
	MOVQ x3+32(FP), R11
	MOVQ n+40(FP), CX
	MOVQ scale+48(FP), DX
	VBROADCASTSS (DX), Y0
	VBROADCASTSS 4(DX), Y1
	VBROADCASTSS 8(DX), Y2
	VBROADCASTSS 12(DX), Y3
	XORQ AX, AX
	SUBQ $16, CX
	JB rest

loop:
	VMULPS (R8)(AX*1), Y0, Y4
	VMULPS 32(R8)(AX*1), Y0, Y5
	VADDPS (DI)(AX*1), Y4, Y4
	VADDPS 32(DI)(AX*1), Y5, Y5
	VMULPS (R9)(AX*1), Y1, Y6
	VMULPS 32(R9)(AX*1), Y1, Y7
	VADDPS Y6, Y4, Y4
	VADDPS Y7, Y5, Y5
	VMULPS (R10)(AX*1), Y2, Y8
	VMULPS 32(R10)(AX*1), Y2, Y9
	VADDPS Y8, Y4, Y4
	VADDPS Y9, Y5, Y5
	VMULPS (R11)(AX*1), Y3, Y10
	VMULPS 32(R11)(AX*1), Y3, Y11
	VADDPS Y10, Y4, Y4
	VADDPS Y11, Y5, Y5
	VMOVUPS Y4, (DI)(AX*1)
	VMOVUPS Y5, 32(DI)(AX*1)
	ADDQ $64, AX
	SUBQ $16, CX
	JAE loop

rest:
	ADDQ $16, CX
	JZ end
	VMULPS (R8)(AX*1), Y0, Y4
	VADDPS (DI)(AX*1), Y4, Y4
	VMULPS (R9)(AX*1), Y1, Y6
	VADDPS Y6, Y4, Y4
	VMULPS (R10)(AX*1), Y2, Y8
	VADDPS Y8, Y4, Y4
	VMULPS (R11)(AX*1), Y3, Y10
	VADDPS Y10, Y4, Y4
	VMOVUPS Y4, (DI)(AX*1)

end:
	VZEROUPPER
	RET

// func prefetch(first unsafe.Pointer, lines int)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVQ first+0(FP), SI
	MOVQ lines+8(FP), CX

next:
	PREFETCHT0 (SI)
	ADDQ $64, SI
	SUBQ $1, CX
	JNZ next
	RET
