(* Projectors with orthonormal rows keep inner products, norms and Gram matrices, and nothing else does; VkD's loss.
   Source: Miles et al. 2024 (VkD), section 3.1; Horn & Johnson 2013, theorem 2.1.4. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

(* X is on the Stiefel manifold St(n, p). *)
Definition on_manifold (R : ringType) n p (X : 'M[R]_(n, p)) := X^T *m X = 1%:M.

Section CommutativeRing.
Variable R : comRingType.

Definition inner m (x y : 'rV[R]_m) : R := (x *m y^T) 0 0.

Lemma inner_image m n (P : 'M[R]_(m, n)) x y : inner (x *m P) (y *m P) = (x *m (P *m P^T) *m y^T) 0 0.
Proof. by rewrite /inner trmx_mul !mulmxA. Qed.

Lemma quadratic_entry m (E : 'M[R]_m) i j :
  ((delta_mx 0 i : 'rV_m) *m E *m (delta_mx 0 j : 'rV_m)^T) 0 0 = E i j.
Proof. by rewrite trmx_delta -rowE -colE !mxE. Qed.

(** P P^T = I exactly where every inner product of rows is kept: <xP, yP> = <x, y> for all x, y. *)
Theorem isometry_iff_inner_products_kept m n (P : 'M[R]_(m, n)) :
  P *m P^T = 1%:M <-> (forall x y, inner (x *m P) (y *m P) = inner x y).
Proof.
split=> [rows x y | kept]; first by rewrite inner_image rows mulmx1.
apply/matrixP => i j; have := kept (delta_mx 0 i) (delta_mx 0 j).
by rewrite inner_image quadratic_entry => ->; rewrite /inner -(mulmx1 (delta_mx 0 i)) quadratic_entry.
Qed.

(** Where P P^T = I, the Gram matrices of any two batches, and so every kernel built on them, survive the projection. *)
Theorem gram_matrices_kept k l m n (P : 'M[R]_(m, n)) (Z : 'M[R]_(k, m)) (Y : 'M[R]_(l, m)) :
  P *m P^T = 1%:M -> (Z *m P) *m (Y *m P)^T = Z *m Y^T.
Proof. by move=> rows; rewrite trmx_mul mulmxA -(mulmxA Z) rows mulmx1. Qed.

(** A product of points, X in St(n, p) and Y in St(p, q), is a point of St(n, q). *)
Theorem products_stay_on_the_manifold n p q (X : 'M[R]_(n, p)) (Y : 'M[R]_(p, q)) :
  on_manifold X -> on_manifold Y -> on_manifold (X *m Y).
Proof. by rewrite /on_manifold => X1 Y1; rewrite trmx_mul mulmxA -(mulmxA Y^T) X1 mulmx1. Qed.

(** Any selection of different columns of a point is a point: the first p columns of an orthogonal matrix are one. *)
Theorem selected_columns_stay_on_the_manifold n p q (X : 'M[R]_(n, p)) (f : 'I_q -> 'I_p) :
  injective f -> on_manifold X -> on_manifold (colsub f X).
Proof.
move=> f_inj X1; apply/matrixP => i j; move/matrixP/(_ (f i) (f j)): X1.
rewrite !mxE (inj_eq f_inj) => <-; by apply: eq_bigr => k _; rewrite !mxE.
Qed.

(** A square point has determinant 1 or -1: its square is 1. *)
Theorem orthogonal_determinant n (Q : 'M[R]_n) : on_manifold Q -> \det Q ^+ 2 = 1.
Proof. by move=> Q1; rewrite expr2 -{1}det_tr -det_mulmx Q1 det1. Qed.

(** The transpose of a square point is one: an orthogonal matrix has orthonormal rows as well as columns. *)
Theorem square_points_transpose n (Q : 'M[R]_n) : on_manifold Q -> on_manifold Q^T.
Proof. by rewrite /on_manifold trmxK => /mulmx1C. Qed.

End CommutativeRing.

Section Field.
Variable F : fieldType.

(** An isometry needs room: P P^T = I with P of shape m x n forces m <= n. *)
Theorem isometry_needs_room m n (P : 'M[F]_(m, n)) : P *m P^T = 1%:M -> (m <= n)%N.
Proof. by move=> rows; rewrite -(mxrank1 F m) -rows (leq_trans (mxrankM_maxl _ _)) ?rank_leq_col. Qed.

End Field.

Section OrderedField.
Variable R : realFieldType.

(** P P^T = I exactly where every squared norm is kept. *)
Theorem isometry_iff_norms_kept m n (P : 'M[R]_(m, n)) :
  P *m P^T = 1%:M <-> (forall x, inner (x *m P) (x *m P) = inner x x).
Proof.
split=> [rows x | kept]; first by rewrite inner_image rows mulmx1.
apply/isometry_iff_inner_products_kept => x y.
have innerC k (a b : 'rV_k) : inner a b = inner b a :> R by rewrite /inner -[in LHS](trmxK a) -trmx_mul mxE.
have addl k (a b c : 'rV_k) : inner (a + b) c = inner a c + inner b c :> R by rewrite /inner mulmxDl mxE.
have polar k (a b : 'rV_k) : 2%:R * inner a b = inner (a + b) (a + b) - inner a a - inner b b :> R.
  by rewrite addl (innerC _ a (a + b)) (innerC _ b (a + b)) !addl (innerC _ b a); ring.
have two0 : 2%:R != 0 :> R by rewrite pnatr_eq0.
by apply: (mulfI two0); rewrite !polar -mulmxDl !kept.
Qed.

(** VkD's loss with orthonormal rows: ||Zs P - Zt||^2 = ||Zs||^2 + ||Zt||^2 - 2 tr(Zt^T Zs P). *)
Theorem vkd_loss b s t (P : 'M[R]_(s, t)) (Zs : 'M[R]_(b, s)) (Zt : 'M[R]_(b, t)) :
  P *m P^T = 1%:M ->
  sqnorm (Zs *m P - Zt) = sqnorm Zs + sqnorm Zt - 2%:R * \tr (Zt^T *m Zs *m P).
Proof.
move=> rows; rewrite sqnormB; congr (_ + _ - _).
  by rewrite -sqnorm_tr /sqnorm /dot trmxK gram_matrices_kept // mxtrace_mulC.
by rewrite dotC /dot mulmxA.
Qed.

(** VkD's loss of whitened student features, Zs^T Zs = I, is s + ||Zt||^2 - 2 tr(Zt^T Zs P): it learns alignment. *)
Theorem vkd_loss_whitened b s t (P : 'M[R]_(s, t)) (Zs : 'M[R]_(b, s)) (Zt : 'M[R]_(b, t)) :
  P *m P^T = 1%:M -> on_manifold Zs ->
  sqnorm (Zs *m P - Zt) = s%:R + sqnorm Zt - 2%:R * \tr (Zt^T *m Zs *m P).
Proof. by move=> rows white; rewrite vkd_loss // {1}/sqnorm /dot white mxtrace1. Qed.

End OrderedField.
