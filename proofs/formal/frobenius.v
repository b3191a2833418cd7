(* The Frobenius inner product tr(A^T B) over an ordered field: squared norms, Cauchy-Schwarz, and a matrix whose
   symmetric part is at least the identity is never singular. Everything else rests on these.
   Source: Horn & Johnson 2013, Matrix Analysis, sections 5.1, 5.6 and 7.1. *)
From mathcomp Require Import all_ssreflect all_algebra ring.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Section Frobenius.
Variable R : realFieldType.

Definition dot m n (A B : 'M[R]_(m, n)) : R := \tr (A^T *m B).
Definition sqnorm m n (A : 'M[R]_(m, n)) : R := dot A A.

Lemma dotC m n (A B : 'M[R]_(m, n)) : dot A B = dot B A.
Proof. by rewrite /dot -mxtrace_tr trmx_mul trmxK. Qed.

Lemma dotDr m n (A B C : 'M[R]_(m, n)) : dot A (B + C) = dot A B + dot A C.
Proof. by rewrite /dot mulmxDr mxtraceD. Qed.

Lemma dotDl m n (A B C : 'M[R]_(m, n)) : dot (A + B) C = dot A C + dot B C.
Proof. by rewrite dotC dotDr !(dotC C). Qed.

Lemma dotZr m n c (A B : 'M[R]_(m, n)) : dot A (c *: B) = c * dot A B.
Proof. by rewrite /dot -scalemxAr mxtraceZ. Qed.

Lemma dotZl m n c (A B : 'M[R]_(m, n)) : dot (c *: A) B = c * dot A B.
Proof. by rewrite dotC dotZr dotC. Qed.

Lemma dotNr m n (A B : 'M[R]_(m, n)) : dot A (- B) = - dot A B.
Proof. by rewrite -scaleN1r dotZr mulN1r. Qed.

Lemma sqnormN m n (A : 'M[R]_(m, n)) : sqnorm (- A) = sqnorm A.
Proof. by rewrite /sqnorm dotNr dotC dotNr opprK. Qed.

Lemma sqnormZ m n c (A : 'M[R]_(m, n)) : sqnorm (c *: A) = c ^+ 2 * sqnorm A.
Proof. by rewrite /sqnorm dotZr dotZl mulrA. Qed.

Lemma sqnormD m n (A B : 'M[R]_(m, n)) : sqnorm (A + B) = sqnorm A + sqnorm B + 2%:R * dot A B.
Proof. by rewrite /sqnorm dotDr !dotDl (dotC B A); ring. Qed.

Lemma sqnormB m n (A B : 'M[R]_(m, n)) : sqnorm (A - B) = sqnorm A + sqnorm B - 2%:R * dot A B.
Proof. by rewrite sqnormD sqnormN dotNr mulrN. Qed.

Lemma sqnormE m n (A : 'M[R]_(m, n)) : sqnorm A = \sum_j \sum_i A i j ^+ 2.
Proof. by apply: eq_bigr => j _; rewrite mxE; apply: eq_bigr => i _; rewrite mxE. Qed.

Lemma sqnorm_ge0 m n (A : 'M[R]_(m, n)) : 0 <= sqnorm A.
Proof. by rewrite sqnormE; do 2 (apply: sumr_ge0 => ? _); apply: sqr_ge0. Qed.

Lemma sqnorm_eq0 m n (A : 'M[R]_(m, n)) : (sqnorm A == 0) = (A == 0).
Proof.
apply/eqP/eqP => [|->]; last by rewrite /sqnorm /dot mulmx0 mxtrace0.
rewrite sqnormE => zero; apply/matrixP => i j; rewrite mxE.
have inner_ge0 k : 0 <= \sum_i A i k ^+ 2 by apply: sumr_ge0 => ? _; apply: sqr_ge0.
have column : \sum_k A k j ^+ 2 = 0 := psumr_eq0P (fun k _ => inner_ge0 k) zero isT.
have /eqP : A i j ^+ 2 = 0 := psumr_eq0P (fun k _ => sqr_ge0 (A k j)) column isT.
by rewrite sqrf_eq0 => /eqP.
Qed.

Lemma sqnorm_tr m n (A : 'M[R]_(m, n)) : sqnorm A^T = sqnorm A.
Proof. by rewrite /sqnorm /dot trmxK mxtrace_mulC. Qed.

Lemma cauchy_schwarz m n (A B : 'M[R]_(m, n)) : dot A B ^+ 2 <= sqnorm A * sqnorm B.
Proof.
have [->|B0] := eqVneq B 0.
  by rewrite /sqnorm /dot !mulmx0 mxtrace0 mulr0 expr0n.
have B_gt0 : 0 < sqnorm B by rewrite lt0r sqnorm_eq0 B0 sqnorm_ge0.
have := sqnorm_ge0 (sqnorm B *: A - dot A B *: B).
rewrite sqnormB !sqnormZ dotZr dotZl.
set a := sqnorm A; set b := sqnorm B; set c := dot A B.
have -> : b ^+ 2 * a + c ^+ 2 * b - 2%:R * (c * (b * c)) = b * (a * b - c ^+ 2) by ring.
by rewrite pmulr_rge0 // subr_ge0.
Qed.

Lemma sqnormM m n p (A : 'M[R]_(m, n)) (B : 'M[R]_(n, p)) : sqnorm (A *m B) <= sqnorm A * sqnorm B.
Proof.
have entry i j : (A *m B) i j = dot (row i A)^T (col j B).
  by rewrite /dot trmxK [RHS]big_ord1 !mxE; apply: eq_bigr => k _; rewrite !mxE.
have rows : sqnorm A = \sum_i sqnorm (row i A)^T.
  rewrite sqnormE exchange_big /=; apply: eq_bigr => i _.
  by rewrite sqnormE big_ord1; apply: eq_bigr => k _; rewrite !mxE.
have columns : sqnorm B = \sum_j sqnorm (col j B).
  rewrite sqnormE; apply: eq_bigr => j _.
  by rewrite sqnormE big_ord1; apply: eq_bigr => k _; rewrite !mxE.
rewrite rows columns big_distrlr /= sqnormE exchange_big /=.
by do 2 (apply: ler_sum => ? _); rewrite entry; apply: cauchy_schwarz.
Qed.

(* Q is never singular where Q + Q^T = 2 I + c G^T G with c >= 0. *)
Lemma accretive_unit m n (Q : 'M[R]_n) (G : 'M[R]_(m, n)) c :
  0 <= c -> Q + Q^T = 2%:R%:M + c *: (G^T *m G) -> Q \in unitmx.
Proof.
move=> c_ge0 sym; rewrite -row_free_unit -kermx_eq0.
move: (kermx Q) (mulmx_ker Q) => N NQ.
have : \tr (N *m (Q + Q^T) *m N^T) = 0.
  by rewrite mulmxDr NQ add0r -mulmxA -trmx_mul NQ trmx0 mulmx0 mxtrace0.
rewrite sym mulmxDr mulmxDl mxtraceD mul_mx_scalar -scalemxAl mxtraceZ -scalemxAr -scalemxAl mxtraceZ.
have -> : \tr (N *m N^T) = sqnorm N^T by rewrite /sqnorm /dot trmxK.
have -> : \tr (N *m (G^T *m G) *m N^T) = sqnorm (G *m N^T) by rewrite /sqnorm /dot trmx_mul trmxK !mulmxA.
move/eqP; rewrite paddr_eq0 ?mulr_ge0 ?ler0n ?sqnorm_ge0 // => /andP[+ _].
by rewrite mulf_eq0 pnatr_eq0 /= sqnorm_eq0 => /eqP N0; rewrite -[N]trmxK N0 trmx0.
Qed.

End Frobenius.
