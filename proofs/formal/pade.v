(* Diagonal Pade approximants of the exponential, [k/k](2 W) = theta_k(-W)^-1 theta_k(W) with the reverse Bessel
   polynomials theta_k: for a skew W the denominator is never singular and the quotient is orthogonal.
   Source: Grosswald 1978, Bessel Polynomials, chapter 3 (the recurrence); Higham 2008, section 10.3. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius isometry cayley powers.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Section Pade.
Variable R : realFieldType.

(* theta_0 = 1, theta_1 = 1 + x, theta_(k+2) = (2k + 3) theta_(k+1) + x^2 theta_k; pairs are (theta_k, theta_(k+1)). *)
Fixpoint theta_pair n (W : 'M[R]_n) k : 'M[R]_n * 'M[R]_n :=
  if k is l.+1 then
    let: (a, b) := theta_pair W l in (b, (2 * l + 3)%:R *: b + W *m W *m a)
  else (1%:M, 1%:M + W).

Definition theta n (W : 'M[R]_n) k : 'M[R]_n := (theta_pair W k).1.

Lemma theta0 n (W : 'M[R]_n) : theta W 0 = 1%:M. Proof. by []. Qed.
Lemma theta1 n (W : 'M[R]_n) : theta W 1 = 1%:M + W. Proof. by []. Qed.

Lemma thetaSS n (W : 'M[R]_n) k : theta W k.+2 = (2 * k + 3)%:R *: theta W k.+1 + W *m W *m theta W k.
Proof. by rewrite /theta /=; case: (theta_pair W k). Qed.

Definition pade n (W : 'M[R]_n) k : 'M[R]_n := invmx (theta (- W) k) *m theta W k.

(* Statements about theta_k and theta_(k+1) at once. *)
Lemma two_steps (P : nat -> Prop) : P 0%N -> P 1%N -> (forall k, P k -> P k.+1 -> P k.+2) -> forall k, P k.
Proof. by move=> P0 P1 step k; suff [] : P k /\ P k.+1 by []; elim: k => [|k [? ?]]; split=> //; apply: step. Qed.

Lemma theta_commutes n (W C : 'M[R]_n) k : C *m W = W *m C -> C *m theta W k = theta W k *m C.
Proof.
move=> CW; elim/two_steps: k => [||k IH0 IH1]; first by rewrite mulmx1 mul1mx.
  by rewrite theta1 mulmxDr mulmxDl mulmx1 mul1mx CW.
rewrite thetaSS mulmxDr mulmxDl -scalemxAl -scalemxAr IH1; congr (_ + _).
by rewrite !mulmxA CW -(mulmxA W) CW -!mulmxA IH0 !mulmxA.
Qed.

Lemma theta_tr n (W : 'M[R]_n) k : (theta W k)^T = theta W^T k.
Proof.
elim/two_steps: k => [||k IH0 IH1]; rewrite ?trmx1 //.
  by rewrite !theta1 linearD /= trmx1.
rewrite !thetaSS linearD linearZ /= IH1 !trmx_mul IH0; congr (_ + _).
by rewrite -(@theta_commutes _ W^T (W^T *m W^T)) // !mulmxA.
Qed.

Section Skew.
Variables (n : nat) (W : 'M[R]_n).
Hypothesis W_skew : skew W.

(* The Wronskian of theta_k and theta_(k+1), seen by a skew W. *)
Lemma theta_wronskian m (V : 'M[R]_(n, m)) k :
  dot (theta W k.+1 *m V) (W *m theta W k *m V) = sqnorm (power W k.+1 *m V).
Proof.
elim: k m V => [|k IH] m V.
  rewrite theta1 theta0 mulmx1 mulmxDl mul1mx dotDl powerS mulmx1.
  by rewrite dot_skew_self // add0r.
rewrite thetaSS mulmxDl dotDl -scalemxAl dotZl -(mulmxA W) dot_skew_self // mulr0 add0r.
have shift l : W *m theta W l *m V = theta W l *m (W *m V) by rewrite theta_commutes // mulmxA.
rewrite [power W k.+2]powerSr -(mulmxA _ W V) -IH dotC.
by rewrite -!mulmxA (mulmxA W (theta W k)) shift mulmxA shift.
Qed.

Lemma power_skew_kernel m (V : 'M[R]_(n, m)) k : power W k.+1 *m V = 0 -> W *m V = 0.
Proof.
elim: k => [|k IH]; first by rewrite powerS mulmx1.
rewrite !powerS -!mulmxA => WWX; apply: IH; rewrite powerS -mulmxA; apply/eqP; rewrite -sqnorm_eq0.
by rewrite /sqnorm dot_skew // WWX /dot mulmx0 mxtrace0 oppr0.
Qed.

Lemma theta_on_kernel m (V : 'M[R]_(n, m)) k : W *m V = 0 -> exists2 c : R, 0 < c & theta W k *m V = c *: V.
Proof.
move=> WV; elim/two_steps: k => [||k _ [c c_gt0 IH]]; first by exists 1; rewrite ?ltr01 // theta0 mul1mx scale1r.
  by exists 1; rewrite ?ltr01 // theta1 mulmxDl mul1mx WV addr0 scale1r.
exists ((2 * k + 3)%:R * c); first by rewrite mulr_gt0 // ltr0n addn3.
have commuting : W *m W *m theta W k *m V = 0.
  by rewrite -(mulmxA W) theta_commutes // !mulmxA -mulmxA WV mulmx0.
by rewrite thetaSS mulmxDl commuting addr0 -scalemxAl IH scalerA.
Qed.

Lemma theta_unit k : theta W k \in unitmx.
Proof.
rewrite -unitmx_tr -row_free_unit -kermx_eq0; move: (kermx _) (mulmx_ker (theta W k)^T) => N N_zero.
have : theta W k *m N^T = 0 by rewrite -[LHS]trmxK trmx_mul trmxK N_zero trmx0.
rewrite -trmx_eq0; move: N^T => {N N_zero} V; case: k => [|k] zero.
  by rewrite -zero theta0 mul1mx.
have WV : W *m V = 0.
  apply: (@power_skew_kernel _ _ k); apply/eqP; rewrite -sqnorm_eq0 -theta_wronskian zero.
  by rewrite dotC /dot mulmx0 mxtrace0.
have [c c_gt0] := theta_on_kernel k.+1 WV; rewrite zero => /esym/eqP.
by rewrite scaler_eq0 gt_eqF.
Qed.

End Skew.

(** The denominator of every diagonal Pade approximant of exp at a skew matrix is never singular. *)
Theorem pade_denominator_never_singular n (W : 'M[R]_n) k : skew W -> theta (- W) k \in unitmx.
Proof. by move=> W_skew; apply: theta_unit; apply: skewN. Qed.

(** Every diagonal Pade approximant [k/k] of exp at a skew matrix is orthogonal. *)
Theorem pade_orthogonal n (W : 'M[R]_n) k : skew W -> on_manifold (pade W k).
Proof.
move=> W_skew; rewrite /on_manifold /pade.
have minus_unit := pade_denominator_never_singular k W_skew; have plus_unit := theta_unit W_skew k.
have commute : theta (- W) k *m theta W k = theta W k *m theta (- W) k.
  by apply: theta_commutes; rewrite -(@theta_commutes _ (- W) W) // mulmxN mulNmx.
have swap : invmx (theta (- W) k) *m theta W k = theta W k *m invmx (theta (- W) k).
  by apply: (can_inj (mulKmx minus_unit)); rewrite mulKVmx // mulmxA commute mulmxK.
rewrite {1}swap trmx_mul trmx_inv !theta_tr linearN /= W_skew opprK mulmxA mulmxK // mulVmx //.
Qed.

(** Squaring keeps a point orthogonal: so scaling and squaring does with any approximant above. *)
Theorem squaring_orthogonal n (Q : 'M[R]_n) k : on_manifold Q -> on_manifold (power Q k).
Proof.
move=> Q_point; elim: k => [|k IH]; first by rewrite /on_manifold trmx1 mulmx1.
exact: products_stay_on_the_manifold.
Qed.

End Pade.
