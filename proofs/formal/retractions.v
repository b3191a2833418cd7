(* The retractions without an exponential: the error of a Newton-Schulz step, and the points that a root (polar) or a
   triangular factor (QR) of the Gram matrix gives.
   Source: Bjorck & Bowie 1971; Absil & Malick 2012; Fan & Hoffman 1955 (the nearest point). *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius isometry.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Section OrderedField.
Variable R : realFieldType.

Definition residual n p (X : 'M[R]_(n, p)) : 'M[R]_p := X^T *m X - 1%:M.
Definition newton_schulz n p (X : 'M[R]_(n, p)) := X *m (1%:M - 2%:R^-1 *: residual X).

Lemma residual_symmetric n p (X : 'M[R]_(n, p)) : (residual X)^T = residual X.
Proof. by rewrite /residual linearB /= trmx_mul trmxK trmx1. Qed.

(* With F = E/2 no fraction is left. *)
Lemma step_error p (F : 'M[R]_p) :
  (1%:M - F) *m (1%:M + (F + F)) *m (1%:M - F) - 1%:M = F *m F *m F *+ 2 - F *m F *+ 3.
Proof.
rewrite !(mulmxDl, mulmxDr, mul1mx, mulmx1, mulNmx, mulmxN, mulmxA).
move: (F *m F *m F) (F *m F) (1%:M : 'M_p) => F3 F2 I; apply/matrixP => i j; rewrite !mxE.
by move: (F3 i j) (F2 i j) (F i j) (I i j) => c b a u; ring.
Qed.

(** A Newton-Schulz step X (I - E/2), E = X^T X - I, leaves the error -3/4 E^2 + 1/4 E^3. *)
Theorem newton_schulz_error n p (X : 'M[R]_(n, p)) (E := residual X) :
  residual (newton_schulz X) = 4%:R^-1 *: (E *m E *m E) - (3%:R / 4%:R) *: (E *m E).
Proof.
have gram : X^T *m X = 1%:M + E by rewrite /E /residual addrC subrK.
rewrite {1}/residual /newton_schulz trmx_mul [in LHS]linearB linearZ /= trmx1 residual_symmetric -/E.
rewrite mulmxA -(mulmxA _ X^T) gram; move: E {gram} => E; set F := 2%:R^-1 *: E.
have -> : 1%:M + E = 1%:M + (F + F).
  by congr (_ + _); rewrite -mulr2n -scaler_nat scalerA divff ?pnatr_eq0 // scale1r.
rewrite step_error /F -!scalemxAl -!scalemxAr -!scalemxAl !scalerA -!scaler_nat !scalerA.
by congr (_ *: _ - _ *: _); field.
Qed.

(** Near the manifold a Newton-Schulz step squares the error: ||E'|| <= ||E||^2 (Frobenius) where ||E|| <= 1. *)
Theorem newton_schulz_squares_the_error n p (X : 'M[R]_(n, p)) :
  sqnorm (residual X) <= 1 -> sqnorm (residual (newton_schulz X)) <= sqnorm (residual X) ^+ 2.
Proof.
rewrite newton_schulz_error; set E := residual X => E_le1.
have E2 : sqnorm (E *m E) <= sqnorm E ^+ 2 by rewrite expr2; apply: sqnormM.
have E3 : sqnorm (E *m E *m E) <= sqnorm E ^+ 2.
  apply: le_trans (sqnormM _ _) (le_trans _ E2).
  by rewrite ler_pimulr ?sqnorm_ge0.
(* The error is 1/4 E^3 - 3/4 E^2, and a squared norm is convex. *)
move: (E *m E) (E *m E *m E) (sqnorm E ^+ 2) E2 E3 => A B e Ae Be.
have convex : sqnorm (4%:R^-1 *: B - (3%:R / 4%:R) *: A) =
    4%:R^-1 * sqnorm B + 3%:R / 4%:R * sqnorm A - 3%:R / 16%:R * sqnorm (A + B).
  by rewrite sqnormB !sqnormZ sqnormD dotZl dotZr (dotC B A); field.
rewrite convex ler_subl_addr; apply: (@le_trans _ _ e); last first.
  by rewrite ler_addl mulr_ge0 ?sqnorm_ge0 // divr_ge0 ?ler0n.
have -> : e = 4%:R^-1 * e + 3%:R / 4%:R * e by field.
by rewrite ler_add // ler_wpmul2l // ?invr_ge0 ?divr_ge0 ?ler0n.
Qed.

(** Iterated from ||E|| <= 1, k Newton-Schulz steps leave an error of at most ||E||^(2^k). *)
Theorem newton_schulz_iterates n p (X : 'M[R]_(n, p)) k :
  sqnorm (residual X) <= 1 -> sqnorm (residual (iter k (@newton_schulz n p) X)) <= sqnorm (residual X) ^+ (2 ^ k).
Proof.
move=> E_le1; elim: k => [|k IH]; first by rewrite expr1.
have near : sqnorm (residual (iter k (@newton_schulz n p) X)) <= 1.
  by apply: le_trans IH _; rewrite exprn_ile1 ?sqnorm_ge0.
apply: le_trans (newton_schulz_squares_the_error near) _.
by rewrite expnSr exprM ler_expn2r ?nnegrE ?exprn_ge0 ?sqnorm_ge0.
Qed.

(** For U tangent at a point X0, (X0 + U)^T (X0 + U) = I + U^T U. *)
Theorem gram_of_a_tangent_step n p (X0 U : 'M[R]_(n, p)) :
  on_manifold X0 -> X0^T *m U + U^T *m X0 = 0 -> (X0 + U)^T *m (X0 + U) = 1%:M + U^T *m U.
Proof.
rewrite /on_manifold => X0_point tangent; rewrite [(X0 + U)^T]linearD /= mulmxDl !mulmxDr X0_point.
by rewrite addrA -(addrA 1%:M) tangent addr0.
Qed.

(** I + U^T U is never singular, so neither is the root or triangular factor that the polar and QR maps divide by. *)
Theorem identity_plus_gram_invertible n p (U : 'M[R]_(n, p)) : 1%:M + U^T *m U \in unitmx.
Proof.
apply: (@accretive_unit _ _ _ _ U 2%:R); first by rewrite ler0n.
by rewrite linearD /= trmx1 trmx_mul trmxK -mulr2n mulrnDl -!scaler_nat scalemx1.
Qed.

(** Polar and QR maps: any factor T with T^T T = Y^T Y, Y^T Y invertible, gives a point Y T^-1 on the manifold. *)
Theorem normalised_on_manifold n p (Y : 'M[R]_(n, p)) (T : 'M[R]_p) :
  Y^T *m Y \in unitmx -> T^T *m T = Y^T *m Y -> on_manifold (Y *m invmx T).
Proof.
move=> unit factor; move: unit; rewrite -factor unitmx_mul => /andP[Tt_unit T_unit].
by rewrite /on_manifold trmx_mul trmx_inv mulmxA -(mulmxA _ Y^T) -factor mulmxA mulVmx // mul1mx mulmxV.
Qed.

(** The polar point X of Y = X H, H = G^T G, is the point of the manifold nearest to Y (Frobenius). *)
Theorem polar_point_is_nearest m n p (X Z : 'M[R]_(n, p)) (G : 'M[R]_(m, p)) :
  on_manifold X -> on_manifold Z -> sqnorm (X *m (G^T *m G) - X) <= sqnorm (X *m (G^T *m G) - Z).
Proof.
move=> X_point Z_point; rewrite !sqnormB.
have -> : sqnorm X = sqnorm Z by rewrite /sqnorm /dot X_point Z_point.
rewrite ler_add2l ler_opp2 ler_pmul2l ?ltr0n //.
have pair (Y : 'M[R]_(n, p)) : dot (X *m (G^T *m G)) Y = dot (X *m G^T) (Y *m G^T).
  by rewrite /dot !trmx_mul !trmxK -!mulmxA mxtrace_mulC !mulmxA.
have turned (Y : 'M[R]_(n, p)) : on_manifold Y -> sqnorm (Y *m G^T) = sqnorm G^T.
  by move=> Y_point; rewrite /sqnorm /dot trmx_mul mulmxA -(mulmxA _ Y^T) Y_point mulmx1.
rewrite !pair -[dot (X *m G^T) (X *m G^T)]/(sqnorm _) turned //.
have := sqnorm_ge0 (X *m G^T - Z *m G^T); rewrite sqnormB !turned //; set s := sqnorm G^T; set d := dot _ _.
have -> : s + s - 2%:R * d = 2%:R * (s - d) by ring.
by rewrite pmulr_rge0 ?ltr0n // subr_ge0.
Qed.

End OrderedField.
