(* The true exponential, the entrywise limit of its series over the reals: addition theorem, orthogonality, and the
   compact form that the library computes. This file alone rests on the classical axioms of mathcomp-analysis.
   Source: Edelman, Arias & Smith 1998, corollary 2.2; Higham 2008, Functions of Matrices, section 10.1. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From mathcomp Require Import boolp classical_sets functions reals signed topology normedtype sequences exp.
From StiefelFormal Require Import isometry cayley powers.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory numFieldNormedType.Exports.
Local Open Scope ring_scope.
Local Open Scope classical_set_scope.

Section EntrywiseLimits.
Variable R : realType.

Definition converges m n (u : nat -> 'M[R]_(m, n)) (l : 'M[R]_(m, n)) := forall i j, u k i j @[k --> \oo] --> l i j.

Lemma cvg_finite_sum n (f : 'I_n -> nat -> R) (l : 'I_n -> R) :
  (forall i, f i @ \oo --> l i) -> \sum_i f i k @[k --> \oo] --> \sum_i l i.
Proof.
elim: n f l => [|n IH] f l f_l.
  rewrite big_ord0 (_ : (fun _ => _) = fun=> 0); first exact: cvg_cst.
  by apply/funext => k; rewrite big_ord0.
rewrite big_ord_recr /= (_ : (fun _ => _) = (fun k => \sum_i f (widen_ord (leqnSn n) i) k) \+ f ord_max).
  by apply: cvgD; [apply: IH => i; apply: f_l | apply: f_l].
by apply/funext => k; rewrite big_ord_recr.
Qed.

Lemma converges_unique m n (u : nat -> 'M[R]_(m, n)) l l' : converges u l -> converges u l' -> l = l'.
Proof. by move=> u_l u_l'; apply/matrixP => i j; apply: (cvg_unique _ (u_l i j) (u_l' i j)); apply: Rhausdorff. Qed.

Lemma converges_mulmx m n p (u : nat -> 'M[R]_(m, n)) (v : nat -> 'M[R]_(n, p)) l r :
  converges u l -> converges v r -> converges (fun k => u k *m v k) (l *m r).
Proof.
move=> u_l v_r i j; rewrite mxE (_ : (fun _ => _) = fun k => \sum_h (u k i h * v k h j)).
  by apply: cvg_finite_sum => h; apply: cvgM; [apply: u_l | apply: v_r].
by apply/funext => k; rewrite mxE.
Qed.

Lemma converges_constant m n (l : 'M[R]_(m, n)) : converges (fun=> l) l.
Proof. by move=> i j; apply: cvg_cst. Qed.

End EntrywiseLimits.

Arguments converges_constant {R m n} l i j.

Section Exponential.
Variable R : realType.

(* I + W + W^2/2! + ... + W^(k-1)/(k-1)!, and the limit of each entry. *)
Definition partial n (W : 'M[R]_n) k := polynomial (fun m => m`!%:R^-1) k W.
Definition exponential n (W : 'M[R]_n) : 'M[R]_n := \matrix_(i, j) lim (partial W k i j @[k --> \oo]).

Let coefficient (s : R) (m : nat) : R := s ^+ m / m`!%:R.

Lemma partial_entry n s (W : 'M[R]_n) k i j :
  partial (s *: W) k i j = \sum_(m < k) coefficient s m * power W m i j.
Proof.
rewrite /partial summxE; apply: eq_bigr => m _.
by rewrite powerZ scalerA mxE /coefficient [_^-1 * _]mulrC.
Qed.

Lemma power_bound n (W : 'M[R]_n) m i j : `|power W m i j| <= (\sum_i \sum_j `|W i j|) ^+ m.
Proof.
elim: m i j => [|m IH] i j; first by rewrite expr0 mxE normr_nat; case: eqP => //=; rewrite ler01.
rewrite powerS mxE exprS mulr_suml.
have row_le : \sum_h `|W i h| * (\sum_i \sum_j `|W i j|) ^+ m <=
    \sum_i (\sum_j `|W i j|) * (\sum_i \sum_j `|W i j|) ^+ m.
  rewrite -mulr_suml -mulr_suml ler_wpmul2r ?exprn_ge0 ?sumr_ge0 // => [? _|]; first by rewrite sumr_ge0.
  by rewrite [leRHS](bigD1 i) //= ler_addl sumr_ge0 // => ? _; rewrite sumr_ge0.
apply: le_trans row_le; apply: le_trans (ler_norm_sum _ _ _) _.
by apply: ler_sum => h _; rewrite normrM ler_wpmul2l.
Qed.

Lemma partial_cvg n (W : 'M[R]_n) : converges (partial W) (exponential W).
Proof.
move=> i j; rewrite mxE; apply: (_ : cvg _).
rewrite (_ : (fun _ => _) = series (fun m => coefficient 1 m * power W m i j)); last first.
  by apply/funext => k; rewrite seriesEord /= -(scale1r W) partial_entry scale1r.
apply: normed_cvg; pose a : R := \sum_i \sum_j `|W i j|.
apply: series_le_cvg (@is_cvg_series_exp_coeff _ a) => [m|m|m] /=.
- exact: normr_ge0.
- by rewrite exp_coeff_ge0 // sumr_ge0 // => ? _; rewrite sumr_ge0.
- rewrite normrM /coefficient /exp_coeff /= expr1n mul1r normfV normr_nat mulrC ler_wpmul2r ?invr_ge0 ?ler0n //.
  exact: power_bound.
Qed.

Arguments partial_cvg {n} W i j.

(* The binomial theorem, summed over the triangle u + v < k. *)
Lemma coefficientD s t m : coefficient (s + t) m = \sum_(u < m.+1) coefficient s u * coefficient t (m - u).
Proof.
rewrite /coefficient addrC exprDn mulr_suml; apply: eq_bigr => u _.
have u_m : (u <= m)%N by rewrite -ltnS.
have fact0 i : i`!%:R != 0 :> R by rewrite pnatr_eq0 -lt0n fact_gt0.
have bin0 : 'C(m, u)%:R != 0 :> R by rewrite pnatr_eq0 -lt0n bin_gt0.
rewrite -(bin_fact u_m) !natrM -mulr_natr; move: bin0 (fact0 u) (fact0 (m - u)%N).
by move: _%:R _%:R _%:R (s ^+ u) (t ^+ (m - u)) => a b c x y a0 b0 c0; field; rewrite a0 b0 c0.
Qed.

Lemma triangle (F : nat -> nat -> R) k :
  \sum_(m < k) \sum_(u < m.+1) F u (m - u)%N = \sum_(u < k) \sum_(v < k | (u + v < k)%N) F u v.
Proof.
rewrite (eq_bigr (fun m : 'I_k => \sum_(u < k | (u < m.+1)%N) F u (m - u)%N)); last first.
  by move=> m _; rewrite (big_ord_widen k (fun u => F u (m - u)%N)) ?ltn_ord.
rewrite (exchange_big_dep xpredT) //=; apply: eq_bigr => u _.
rewrite [RHS](eq_bigl (fun v : 'I_k => (v < k - u)%N)); last by move=> v; rewrite ltn_subRL.
rewrite -(big_ord_widen k (F u)) ?leq_subr //.
rewrite -(big_mkord (fun m => u < m.+1)%N (fun m => F u (m - u)%N)).
rewrite (eq_bigl (fun m => true && (u <= m)%N)) // -big_nat_widenl //.
rewrite -{1}[nat_of_ord u]add0n big_addn big_mkord; apply: eq_bigr => v _.
by rewrite addnK.
Qed.

Lemma product_of_sums (f : nat -> R) s t k :
  \sum_(u < k) \sum_(v < k) coefficient s u * coefficient t v * f (u + v)%N =
  \sum_(m < k) coefficient (s + t) m * f m +
  \sum_(u < k) \sum_(v < k | (k <= u + v)%N) coefficient s u * coefficient t v * f (u + v)%N.
Proof.
have -> : \sum_(m < k) coefficient (s + t) m * f m =
    \sum_(m < k) \sum_(u < m.+1) coefficient s u * coefficient t (m - u) * f (u + (m - u))%N.
  apply: eq_bigr => m _; rewrite coefficientD mulr_suml; apply: eq_bigr => u _.
  by rewrite subnKC // -ltnS.
rewrite (triangle (fun u v => coefficient s u * coefficient t v * f (u + v)%N)) -big_split /=.
apply: eq_bigr => u _; rewrite (bigID (fun v : 'I_k => (u + v < k)%N)) /=; congr (_ + _).
by apply: eq_bigl => v; rewrite -leqNgt.
Qed.

Let overshoot (f : nat -> R) s t k : R :=
  \sum_(u < k) \sum_(v < k | (k <= u + v)%N) coefficient s u * coefficient t v * f (u + v)%N.

Lemma coefficient_norm s m : `|coefficient s m| = coefficient `|s| m.
Proof. by rewrite /coefficient normrM normrX normfV normr_nat. Qed.

Lemma series_coefficient a s : \sum_(m < k) coefficient s m * a ^+ m @[k --> \oo] --> expR (s * a).
Proof.
rewrite (_ : (fun _ => _) = series (exp_coeff (s * a))); first exact: is_cvg_series_exp_coeff.
by apply/funext => k; rewrite seriesEord; apply: eq_bigr => m _; rewrite /coefficient /exp_coeff /= exprMn mulrAC.
Qed.

(* For f = a^(u + v) the overshoot is e_k(sa) e_k(ta) - e_k(sa + ta), which vanishes: exp(x) exp(y) = exp(x + y). *)
Lemma geometric_overshoot_vanishes a s t : overshoot (fun m => a ^+ m) s t k @[k --> \oo] --> (0 : R).
Proof.
pose e s k : R := \sum_(m < k) coefficient s m * a ^+ m.
rewrite (_ : overshoot _ s t = (fun k => e s k * e t k) \- e (s + t)); last first.
  apply/funext => k /=; apply/esym/eqP; rewrite subr_eq addrC -product_of_sums; apply/eqP.
  rewrite big_distrlr; apply: eq_bigr => u _; apply: eq_bigr => v _ /=.
  by rewrite exprD mulrACA.
have <- : expR (s * a) * expR (t * a) - expR ((s + t) * a) = 0 by rewrite mulrDl expRD subrr.
by apply: cvgB; [apply: cvgM|]; apply: series_coefficient.
Qed.

Lemma overshoot_vanishes (f : nat -> R) a s t :
  (forall m, `|f m| <= a ^+ m) -> overshoot f s t k @[k --> \oo] --> (0 : R).
Proof.
move=> f_a.
have bound k : `|overshoot f s t k| <= overshoot (fun m => a ^+ m) `|s| `|t| k.
  rewrite /overshoot; do 2 (apply: le_trans (ler_norm_sum _ _ _) _; apply: ler_sum => ? _).
  by rewrite 2!normrM !coefficient_norm ler_wpmul2l // mulr_ge0 // /coefficient divr_ge0 ?exprn_ge0.
apply/norm_cvg0P; apply: (squeeze_cvgr (f := cst 0) (h := overshoot (fun m => a ^+ m) `|s| `|t|)).
- by apply: nearW => k; rewrite normr_ge0 bound.
- exact: cvg_cst.
- exact: geometric_overshoot_vanishes.
Qed.

(** exp((s + t) W) = exp(sW) exp(tW), exp the entrywise limit of the series, for every real square W. *)
Theorem exponential_addition n s t (W : 'M[R]_n) :
  exponential ((s + t) *: W) = exponential (s *: W) *m exponential (t *: W).
Proof.
apply/matrixP => i j; apply/esym/eqP; rewrite -subr_eq0; apply/eqP.
have product := converges_mulmx (partial_cvg (s *: W)) (partial_cvg (t *: W)).
have difference := cvgB (product i j) (partial_cvg ((s + t) *: W) i j).
suff vanishes : (fun k => (partial (s *: W) k *m partial (t *: W) k) i j) \-
    (fun k => partial ((s + t) *: W) k i j) @ \oo --> (0 : R).
  by apply: (cvg_unique _ (difference _) vanishes); apply: Rhausdorff.
rewrite (_ : _ \- _ = overshoot (fun m => power W m i j) s t).
  by apply: overshoot_vanishes => m; apply: power_bound.
apply/funext => k /=; apply/eqP; rewrite subr_eq addrC partial_entry -product_of_sums; apply/eqP.
rewrite mxE; under eq_bigr => h _ do rewrite !partial_entry big_distrlr /=.
rewrite exchange_big /=; apply: eq_bigr => u _; rewrite exchange_big /=; apply: eq_bigr => v _.
rewrite powerD mxE mulr_sumr; apply: eq_bigr => h _; exact: mulrACA.
Qed.

Lemma exponential0 n : exponential (0 : 'M[R]_n) = 1%:M.
Proof.
apply: (converges_unique (partial_cvg 0)) => i j; apply/cvg_ballP => e e0; near=> k.
have -> : partial (0 : 'M[R]_n) k i j = (1%:M : 'M[R]_n) i j; last exact: ballxx.
have k0 : (0 < k)%N by near: k; exists 1%N.
rewrite -(prednK k0) -(scale0r (0 : 'M[R]_n)) partial_entry big_ord_recl /coefficient expr0 divr1 mul1r.
by rewrite big1 ?addr0 // => m _; rewrite exprS !mul0r.
Unshelve. all: by end_near. Qed.

Lemma exponential_tr n (W : 'M[R]_n) : exponential W^T = (exponential W)^T.
Proof.
apply: (converges_unique (partial_cvg _)) => i j; rewrite mxE.
rewrite (_ : (fun _ => _) = fun k => partial W k j i); first exact: partial_cvg.
by apply/funext => k; rewrite -(scale1r W) linearZ /= !partial_entry; apply: eq_bigr => m _; rewrite power_tr mxE.
Qed.

(** exp(W) of a skew W is orthogonal. *)
Theorem exponential_orthogonal n (W : 'M[R]_n) : skew W -> on_manifold (exponential W).
Proof.
move=> W_skew; rewrite /on_manifold -exponential_tr W_skew -(scale1r W) -scaleNr -exponential_addition.
by rewrite addNr scale0r exponential0.
Qed.

(** exp(2W) = exp(W)^2: scaling and squaring is exact. *)
Theorem exponential_squaring n (W : 'M[R]_n) : exponential (2%:R *: W) = exponential W *m exponential W.
Proof. by rewrite -[2%:R]/(1 + 1) exponential_addition scale1r. Qed.

(** exp(W) of a skew W is a rotation: its determinant is 1, so a square point never leaves its component. *)
Theorem exponential_determinant n (W : 'M[R]_n) : skew W -> \det (exponential W) = 1.
Proof.
move=> W_skew; have half_skew := skewZ 2%:R^-1 W_skew.
have -> : W = 2%:R *: (2%:R^-1 *: W) by rewrite scalerA divff ?pnatr_eq0 // scale1r.
by rewrite exponential_squaring det_mulmx -expr2 orthogonal_determinant //; apply: exponential_orthogonal.
Qed.

Lemma exponential_intertwines m n (W : 'M[R]_n) (B : 'M[R]_m) (C : 'M[R]_(n, m)) :
  W *m C = C *m B -> exponential W *m C = C *m exponential B.
Proof.
move=> WC; apply: (@converges_unique _ _ _ (fun k => partial W k *m C)).
  exact: (converges_mulmx (partial_cvg W) (converges_constant C)).
rewrite (_ : (fun _ => _) = fun k => C *m partial B k); last first.
  by apply/funext => k; apply: polynomial_intertwines.
exact: (converges_mulmx (converges_constant C) (partial_cvg B)).
Qed.

Section Compact.
Variables (n p : nat) (X0 K : 'M[R]_(n, p)) (A : 'M[R]_p).
Hypotheses (X0_point : on_manifold X0) (K_normal : X0^T *m K = 0).

(* X0 T + K N, [T; N] the first p columns of exp [[A, -S], [I, 0]], S = K^T K. *)
Definition compact_exponential : 'M[R]_(n, p) :=
  let B := exponential (small_generator A (K^T *m K)) in X0 *m ulsubmx B + K *m dlsubmx B.

(** The compact exponential X0 T + K N, [T; N] the first p columns of exp [[A, -S], [I, 0]], equals exp(W) X0 for the
    n x n skew W = X0 A X0^T + K X0^T - X0 K^T, exp the limit of the series. *)
Theorem compact_exponential_equals_dense : compact_exponential = exponential (generator X0 A K) *m X0.
Proof.
rewrite /compact_exponential /= -first_columns_of_product.
by rewrite -(exponential_intertwines (generator_intertwines A X0_point K_normal)) mul_mx_row row_mxKl.
Qed.

(** The compact exponential lands on the manifold. *)
Theorem compact_exponential_on_manifold : skew A -> on_manifold compact_exponential.
Proof.
move=> A_skew; rewrite compact_exponential_equals_dense; apply: products_stay_on_the_manifold => //.
by apply/exponential_orthogonal/generator_skew.
Qed.

End Compact.

(** At the base E, the first p columns of I, the compact exponential is the first p columns of exp(W), the dense map. *)
Theorem compact_exponential_first_columns p k (A : 'M[R]_p) (K : 'M[R]_(k, p)) (E := col_mx 1%:M 0) :
  compact_exponential E (col_mx 0 K) A = lsubmx (exponential (generator E A (col_mx 0 K))).
Proof.
rewrite compact_exponential_equals_dense; last first.
- by rewrite tr_col_mx mul_row_col trmx0 !(mul0mx, mulmx0) addr0.
- by rewrite /on_manifold tr_col_mx mul_row_col trmx1 trmx0 mulmx1 mulmx0 addr0.
by rewrite -[exponential _ in LHS]hsubmxK mul_row_col mulmx1 mulmx0 addr0.
Qed.

End Exponential.
