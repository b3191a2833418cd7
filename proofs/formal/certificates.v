(* What a measured defect says: about inner products, the distance to the manifold and the distance to the exact map.
   Source: Higham 2008, Functions of Matrices, lemma 8.17; Miles et al. 2024 (VkD), section 3.1. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius isometry cayley.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Section OrderedField.
Variable R : realFieldType.

(** A certificate is sound: where ||P P^T - I|| <= d (Frobenius), |<xP, yP> - <x, y>| <= d ||x|| ||y||; squared. *)
Theorem certificate_sound m n (P : 'M[R]_(m, n)) d (x y : 'rV[R]_m) :
  sqnorm (P *m P^T - 1%:M) <= d ^+ 2 ->
  (inner (x *m P) (y *m P) - inner x y) ^+ 2 <= d ^+ 2 * (inner x x * inner y y).
Proof.
move=> certified; set E := _ - _ in certified.
have innerE (z w : 'rV[R]_m) : inner z w = dot z^T w^T.
  by rewrite /inner /dot trmxK [RHS]big_ord1.
have -> : inner (x *m P) (y *m P) - inner x y = dot (x *m E)^T y^T.
  by rewrite -innerE /inner /E mulmxBr mulmx1 mulmxBl trmx_mul !mulmxA !mxE.
apply: le_trans (cauchy_schwarz _ _) _.
rewrite !innerE -!/(sqnorm _) mulrA ler_wpmul2r ?sqnorm_ge0 // !sqnorm_tr mulrC.
by apply: le_trans (sqnormM _ _) _; rewrite ler_wpmul2l ?sqnorm_ge0.
Qed.

(** The defect bounds the distance to the polar point X of Y = X H, H = G^T G: ||Y - X|| <= ||Y^T Y - I||; squared. *)
Theorem defect_bounds_distance_to_manifold m n p (X : 'M[R]_(n, p)) (G : 'M[R]_(m, p)) (Y := X *m (G^T *m G)) :
  on_manifold X -> sqnorm (Y - X) <= sqnorm (Y^T *m Y - 1%:M).
Proof.
have [H HE] : {H | H = G^T *m G} by exists (G^T *m G).
rewrite /Y -HE => X_point; have H_sym : H^T = H by rewrite HE trmx_mul trmxK.
have -> : (X *m H)^T *m (X *m H) - 1%:M = (H - 1%:M) *m H + (H - 1%:M).
  by rewrite trmx_mul H_sym mulmxA -(mulmxA _ X^T) X_point mulmx1 mulmxBl mul1mx addrA subrK.
have -> : sqnorm (X *m H - X) = sqnorm (H - 1%:M).
  have -> : X *m H - X = X *m (H - 1%:M) by rewrite mulmxBr mulmx1.
  by rewrite /sqnorm /dot trmx_mul mulmxA -(mulmxA _ X^T) X_point mulmx1.
move: (H - 1%:M) => N; rewrite sqnormD -addrA [X in _ <= X]addrCA ler_addl.
have -> : dot (N *m H) N = sqnorm (G *m N^T).
  by rewrite /sqnorm /dot !trmx_mul !trmxK H_sym HE mxtrace_mulC !mulmxA.
by rewrite addr_ge0 ?mulr_ge0 ?ler0n ?sqnorm_ge0.
Qed.

(** The residual (I - W/2) P - (I + W/2) X0 bounds the distance of P to the exact Cayley point; squared. *)
Theorem cayley_residual_bounds_distance n p (W : 'M[R]_n) (X0 P : 'M[R]_(n, p)) (h := 2%:R^-1 : R) :
  skew W -> sqnorm (P - cayley W *m X0) <= sqnorm ((1%:M - h *: W) *m P - (1%:M + h *: W) *m X0).
Proof.
move=> W_skew; have W_unit := cayley_denominator W_skew.
have -> : (1%:M - h *: W) *m P - (1%:M + h *: W) *m X0 = (1%:M - h *: W) *m (P - cayley W *m X0).
  by rewrite mulmxBr /cayley -mulmxA mulKVmx.
have H_skew := skewZ h W_skew; move: (h *: W) (P - _) H_skew => H D H_skew.
by rewrite mulmxBl mul1mx sqnormB dot_skew_self // mulr0 subr0 ler_addl sqnorm_ge0.
Qed.

End OrderedField.
